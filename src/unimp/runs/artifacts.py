"""`RunArtifacts`: everything a run stands on, made once from a data set and a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from unimp.answer import PictureArray
from unimp.core.errors import ConfigError
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray
from unimp.features.cross_modal import CrossModalMatch
from unimp.features.item_graph import ItemGraph
from unimp.features.photo_match import PhotoMatch
from unimp.features.sentence_embeddings import SentenceProjector, TextEncoder, joint_text
from unimp.features.text import TextProjector, WordMatch
from unimp.features.vision.encoder import VisionEncoder
from unimp.inference.item_index import ItemIndex
from unimp.inference.score_sources import FusionWeights, ScoreSources
from unimp.inference.second_stage import SecondStage
from unimp.model.backbones.opening import open_backbone
from unimp.model.backbones.source import BackboneSource
from unimp.model.backbones.tokens import BackboneTokens
from unimp.model.image_tokenizer import ImageTokenizer
from unimp.model.inputs import ItemInputs
from unimp.model.token_table import LanguageSide
from unimp.model.unimp import UnimpModel
from unimp.model.vision import pixels_from_bytes
from unimp.runs.answerer import Answerer, unit_pictures
from unimp.runs.recipe import Recipe
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.template import Template
from unimp.sentence.vocabulary import Vocabulary
from unimp.tasks import load_tasks
from unimp.tasks.context import TaskContext
from unimp.tasks.decoding import DecoderParts, Eyes
from unimp.tasks.rating.regression import RatingRegression
from unimp.tasks.task import AnyTask


@dataclass(frozen=True, kw_only=True)
class RunArtifacts:
    """Frozen parts of a run: what is saved beside the weights, or made again from the data."""

    recipe: Recipe
    context: TaskContext
    encoder: SentenceEncoder
    tasks: tuple[AnyTask, ...]
    items: ItemInputs
    vision: VisionEncoder | None
    """How pictures become visual tokens; None where no picture is read."""
    popularity: FloatArray
    """[I] training events of every item."""
    graphs: dict[str, ItemGraph]
    """Item–item scores by name: `log`, `content`."""
    text: TextProjector | None
    ratings: RatingRegression | None = None
    """Ratings in closed form; None without a task that rates."""
    tokenizer: ImageTokenizer | None = None
    sentences: SentenceProjector | None = None
    """The pretrained part of the items' text."""
    backbone: BackboneSource | None = None
    """A pretrained language model instead of the compact decoder."""
    second_stage: SecondStage | None = None
    """Orders recommendations in the end; None: the fusion weights do."""
    photos: PhotoMatch | None = None
    """Knows the catalogue's pictures again in searches; None without the task, or without pictures."""
    cross_modal: CrossModalMatch | None = None
    """Likeness of a search's words and the items' pictures; None without the task, words or pictures."""

    @property
    def template(self) -> Template:
        return self.context.template

    @property
    def vocabulary(self) -> Vocabulary:
        return self.encoder.vocabulary

    def new_model(self) -> UnimpModel:
        """A model of the recipe's shape; weights come from torch's generator."""
        recipe, vision = self.recipe, self.vision
        language = None if self.backbone is None else self.language(self.backbone)
        return UnimpModel(
            recipe.model,
            self.vocabulary.num_items,
            self.vocabulary.num_tokens,
            {name: block.shape[1] for name, block in self.items.content.items()},
            self.visual_width,
            pooled_pictures=recipe.content.picture,
            described_pictures=vision is not None and vision.describes,
            vision=vision.network() if vision is not None and vision.trained else None,
            resampler=recipe.vision.resampler,
            language=language,
        )

    def language(self, source: BackboneSource) -> LanguageSide:
        """The language model, and its words with the rows that this vocabulary adds."""
        opened, vocabulary = open_backbone(source, self.recipe.backbone, self.recipe.lora), self.vocabulary
        known = len(opened.words.weight)
        if vocabulary.num_words > known:
            raise ConfigError(
                f"{source.label}: its tokenizer has {vocabulary.num_words:,} words, its weights {known:,} "
                "rows; put the tokenizer there that belongs to the weights"
            )
        tokens = BackboneTokens(
            opened.words,
            opened.head,
            opened.decoder.probe,
            vocabulary.first_word,
            vocabulary.num_words,
            vocabulary.num_tokens,
        )
        tokens.begin_with(vocabulary.named_frame())
        return LanguageSide(opened.decoder, tokens)

    @property
    def identities(self) -> dict[str, str | None]:
        """Hashes of what the weights were learned with and are of no use without."""
        backbone = None if self.backbone is None else self.backbone.identity
        return {"vocabulary": self.vocabulary.identity, "backbone": backbone}

    @property
    def item_text(self) -> TextEncoder | None:
        """What places items and queries in the space of `content["text"]`."""
        return joint_text(self.text, self.sentences)

    @property
    def picture_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the pictures that the vision encoder reads."""
        return self._vision.picture_size

    @property
    def _vision(self) -> VisionEncoder:
        if self.vision is None:
            raise ConfigError("this checkpoint looks at no pictures; ask in words")
        return self.vision

    @property
    def visual_width(self) -> int | None:
        """Width of a visual token; None where no picture is read."""
        return None if self.vision is None else self.vision.token_width

    @cached_property
    def word_match(self) -> WordMatch | None:
        return WordMatch(self.text, self.context.catalog) if self.text is not None else None

    def decoder_parts(
        self,
        model: UnimpModel,
        weights_by_task: Mapping[str, FusionWeights] | None = None,
        *,
        show: bool = False,
        index: ItemIndex | None = None,
    ) -> DecoderParts:
        """The model in evaluation mode, its item table computed once, and what stands beside it.

        `index`: the items to answer with; None: those of training.
        """
        model.eval()
        if index is None:
            with torch.inference_mode():
                state = model.item_state(self.items)
            pictures = unit_pictures(model, state)
            sources = ScoreSources(
                self.popularity,
                self.graphs,
                self.word_match,
                pictures,
                photos=self.photos,
                cross_modal=self.cross_modal,
            )
        else:
            state, sources = index.state, index.sources
        reads_pictures = (model.vision or self.vision) is not None
        return DecoderParts(
            self.tasks,
            model,
            state,
            self.encoder,
            self.items,
            sources,
            weights_by_task or {},
            self.recipe.sections,
            self.second_stage,
            self.ratings,
            self.tokenizer,
            Eyes(partial(self.see, model), lambda: self.picture_size) if reads_pictures else None,
            show,
        )

    def answerer(
        self,
        model: UnimpModel,
        weights_by_task: Mapping[str, FusionWeights] | None = None,
        *,
        show: bool = False,
        index: ItemIndex | None = None,
    ) -> Answerer:
        """Ready for every task. `index`: the items to answer with; None: those of training."""
        return Answerer.of(self.decoder_parts(model, weights_by_task, show=show, index=index))

    def with_catalog(self, catalog: Catalog) -> RunArtifacts:
        """The artifacts over another version of the catalogue; what was learned stays."""
        context = self.context.with_items(catalog)
        return replace(self, context=context, tasks=load_tasks(self.recipe.tasks, context))

    def see(self, model: UnimpModel, pixels_PYX3: PictureArray) -> Tensor:
        """[P, V, E] visual tokens of pictures that are not the catalogue's, at the size the encoder reads."""
        vision = self._vision
        network = model.vision if vision.trained else vision.network()
        assert network is not None, "a trained encoder is a part of the model"
        device = next(model.parameters()).device
        with torch.inference_mode():
            pixels = torch.tensor(pixels_PYX3, device=device)  # a copy: what was decoded may be read-only
            tokens: Tensor = network.to(device)(pixels_from_bytes(pixels))
        return tokens


def sentence_encoder(vocabulary: Vocabulary, recipe: Recipe, text: TextEncoder | None) -> SentenceEncoder:
    return SentenceEncoder(
        vocabulary,
        recipe.sentence.attributes,
        text.project_texts if text is not None else None,
        answers_see_all=recipe.sentence.answers_see == "all",
    )
