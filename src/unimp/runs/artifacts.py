"""`RunArtifacts`: everything a run stands on, made once from a data set and a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from unimp.answer import PictureArray, Query
from unimp.core.errors import ConfigError
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray, Histories
from unimp.features.item_graph import ItemGraph
from unimp.features.sentence_embeddings import SentenceProjector, TextEncoder, joint_text
from unimp.features.text import TextProjector, WordMatch
from unimp.features.vision.pretrained import PretrainedVision
from unimp.inference.item_index import ItemIndex
from unimp.inference.retrieval import ModelRanker, ModelSearcher
from unimp.inference.score_sources import FusionWeights, ScoreSources
from unimp.model.backbones.opening import open_backbone
from unimp.model.backbones.source import BackboneSource
from unimp.model.backbones.tokens import BackboneTokens
from unimp.model.image_tokenizer import ImageTokenizer
from unimp.model.inputs import ItemInputs, ItemState
from unimp.model.token_table import LanguageSide
from unimp.model.unimp import UnimpModel
from unimp.model.vision import ConvEncoder, pixels_from_bytes
from unimp.runs.answerer import Answerer, unit_pictures
from unimp.runs.recipe import Recipe
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import Template
from unimp.sentence.vocabulary import Vocabulary
from unimp.tasks import load_tasks
from unimp.tasks.context import TaskContext
from unimp.tasks.explanation.decoder import ModelExplainer
from unimp.tasks.explanation.facts import Facts
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.image_generation.decoder import ModelImageGenerator
from unimp.tasks.image_generation.reranking import PictureReranker
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.rating.decoder import ModelRater
from unimp.tasks.rating.factors import BiasedMF
from unimp.tasks.rating.preference_percentile import PreferencePercentile
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection.decoder import ModelSelector
from unimp.tasks.selection.task import SelectionTask
from unimp.tasks.task import Task


@dataclass(frozen=True)
class RunArtifacts:
    """Frozen parts of a run: what is saved beside the weights, or made again from the data."""

    recipe: Recipe
    context: TaskContext
    encoder: SentenceEncoder
    tasks: tuple[Task, ...]
    items: ItemInputs
    vision: ConvEncoder | PretrainedVision | None
    """Sees pictures from outside, where the encoder is frozen; what a pretrained one starts from, where it is
    trained along."""
    visual_width: int | None
    popularity: FloatArray
    """[I] training events of every item."""
    graphs: dict[str, ItemGraph]
    """Item–item scores by name: `log`, `content`."""
    text: TextProjector | None
    factors: BiasedMF | None = None
    """Biases and factors of the ratings in closed form; None without a task that rates."""
    tokenizer: ImageTokenizer | None = None
    sentences: SentenceProjector | None = None
    """The pretrained part of the items' text."""
    backbone: BackboneSource | None = None
    """A pretrained language model instead of the compact decoder."""

    @property
    def template(self) -> Template:
        return self.context.template

    @property
    def vocabulary(self) -> Vocabulary:
        return self.encoder.vocabulary

    def new_model(self) -> UnimpModel:
        """A model of the recipe's shape; weights come from torch's generator."""
        recipe = self.recipe
        trained = recipe.vision.trainable
        return UnimpModel(
            recipe.model,
            self.vocabulary.num_items,
            self.vocabulary.num_tokens,
            {name: block.shape[1] for name, block in self.items.content.items()},
            self.visual_width,
            pooled_pictures=recipe.content.picture,
            trains_vision=trained,
            vision=self.vision.trained() if trained and isinstance(self.vision, PretrainedVision) else None,
            resampler=recipe.vision.resampler,
            language=None if self.backbone is None else self.language(self.backbone),
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
        """(height, width) of the pictures that the vision encoder reads."""
        if isinstance(self.vision, PretrainedVision):
            return self.vision.size
        return self.recipe.vision.height, self.recipe.vision.picture_width

    @cached_property
    def word_match(self) -> WordMatch | None:
        return WordMatch(self.text, self.context.catalog) if self.text is not None else None

    def answerer(
        self,
        model: UnimpModel,
        weights_by_task: Mapping[str, FusionWeights] | None = None,
        *,
        show: bool = False,
        index: ItemIndex | None = None,
    ) -> Answerer:
        """The model in evaluation mode, its item table computed once, ready for every task.

        `index`: the items that it answers with; None: those of training.
        """
        model.eval()
        if index is None:
            with torch.inference_mode():
                state = model.item_state(self.items)
            asked = self.sources(state)
        else:
            state, asked = index.state, index.sources
        plain = replace(asked, words=None, pictures=None)
        parts: dict[str, Any] = {}
        known = {task.name: task for task in self.tasks}
        for name, task in known.items():
            fusion_weights = (weights_by_task or {}).get(name, FusionWeights())
            match task:
                case RecommendationTask():
                    parts["ranker"] = ModelRanker(model, state, self.encoder, task, plain, fusion_weights)
                case SearchTask():
                    parts["searcher"] = ModelSearcher(model, state, self.encoder, task, asked, fusion_weights)
                case RatingTask():
                    parts["rater"] = ModelRater(
                        model, state, self.encoder, task.question, self.factors, fusion_weights=fusion_weights
                    )
                case SelectionTask():
                    parts["selector"] = ModelSelector(model, state, self.encoder, task, plain, fusion_weights)
                case ImageGenerationTask():
                    assert self.tokenizer is not None
                    parts["imaginer"] = ModelImageGenerator(
                        model,
                        state,
                        self.encoder,
                        task,
                        self.tokenizer,
                        self.recipe.sampling,
                        self.reranker(model, state),
                        show=show,
                    )
        if "rater" in parts and "ranker" in parts:
            parts["rater"] = replace(parts["rater"], taste=PreferencePercentile(parts["ranker"]))
        if isinstance(explaining := known.get("explanation"), ExplanationTask):
            rater = parts.get("rater") or ModelRater(
                model, state, self.encoder, explaining.question, self.factors
            )
            facts = Facts(explaining.context, self.vocabulary)
            parts["explainer"] = ModelExplainer(rater, explaining, facts, self.recipe.speaking, show=show)
        return Answerer(model, state, **parts)

    def sources(self, state: ItemState) -> ScoreSources:
        """Scores of the items of training."""
        return ScoreSources(self.popularity, self.graphs, self.word_match, unit_pictures(state))

    def with_catalog(self, catalog: Catalog) -> RunArtifacts:
        """The artifacts over another version of the catalogue; what was learned stays."""
        context = self.context.with_items(catalog)
        return replace(self, context=context, tasks=load_tasks(self.recipe.tasks, context))

    def reranker(self, model: UnimpModel, state: ItemState) -> PictureReranker | None:
        """What tells drawn pictures apart: the model's search, else its recommendation; None without eyes."""
        if state.pictures_ID is None or (self.vision or model.vision) is None:
            return None
        known = {task.name: task for task in self.tasks}
        searching, recommending = known.get("search"), known.get("recommendation")
        if isinstance(searching, SearchTask):
            question = searching.question
        elif isinstance(recommending, RecommendationTask):
            question = partial(unasked, recommending)
        else:
            return None
        see = partial(self.see, model)
        return PictureReranker(model, state, self.encoder, question, see, self.picture_size)

    def see(self, model: UnimpModel, pixels_PYX3: PictureArray) -> Tensor:
        """[P, V, E] visual tokens of pictures from outside, at the size the encoder reads."""
        encoder = model.vision or self.vision
        if encoder is None:
            raise ConfigError("this checkpoint looks at no pictures; ask in words")
        device = next(model.parameters()).device
        with torch.inference_mode():
            pixels = torch.tensor(pixels_PYX3, device=device)  # a copy: what was decoded may be read-only
            tokens: Tensor = encoder.to(device)(pixels_from_bytes(pixels))
        return tokens


def unasked(task: RecommendationTask, histories: Histories, user: int, query: Query) -> UserSentence:
    """Recommendation's sentence: it has no place for the query."""
    return task.question(histories, user)


def sentence_encoder(vocabulary: Vocabulary, recipe: Recipe, text: TextEncoder | None) -> SentenceEncoder:
    return SentenceEncoder(
        vocabulary,
        recipe.sentence.attributes,
        text.project_texts if text is not None else None,
        answers_see_all=recipe.sentence.answers_see == "all",
        codes_hold_guidance=recipe.sentence.codes_hold_guidance,
    )
