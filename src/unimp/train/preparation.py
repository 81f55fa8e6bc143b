"""From a data set and a recipe to a `RunArtifacts`: everything that is fitted without gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from unimp.core.errors import ConfigError
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.features.image_tokenizer import encode_codes, tokenizer_for
from unimp.features.item_graph import ItemGraph, content_graph, cosine_graph, ease_graph
from unimp.features.pixels import VisionConfig, load_pixels
from unimp.features.sentence_embeddings import fit_sentences, joint_text
from unimp.features.text import fit_text, log_factors
from unimp.features.vision.catalog_features import pooled, pretrained_pictures
from unimp.features.vision.pretrained import PretrainedVision
from unimp.features.vision.pretraining import frozen_vision
from unimp.fusion.structure import StructureConfig
from unimp.model.backbones.source import find_backbone
from unimp.model.image_tokenizer import ImageTokenizer
from unimp.model.inputs import ItemInputs
from unimp.model.vision import ConvEncoder
from unimp.runs.artifacts import RunArtifacts, sentence_encoder
from unimp.runs.recipe import Recipe
from unimp.runs.training_split import TrainingSplit
from unimp.sentence.template import Template
from unimp.sentence.vocabulary import build_vocabulary
from unimp.tasks import extra_words, load_tasks
from unimp.tasks.rating.factors import BiasedMF


def build_artifacts(
    training_split: TrainingSplit, recipe: Recipe, *, device: torch.device, show_progress: bool = True
) -> RunArtifacts:
    """Fit everything that is not learned by gradient, on the training part alone."""
    catalog, train = training_split.catalog, training_split.train
    backbone = find_backbone(recipe.backbone.name) if recipe.backbone.name else None
    own_words = backbone.tokenizer() if backbone is not None else None
    tokenizer, codes = None, None
    if recipe.image_tokenizer.enabled:
        tokenizer, codes = picture_codes(catalog, recipe, show=show_progress)
    context = training_split.context(Template(catalog, recipe.sentence), codes)
    tasks = load_tasks(recipe.tasks, context)
    projector = fit_text(catalog, recipe.content.text) if recipe.content.text else None
    sentences = fit_sentences(catalog, recipe.content, show=show_progress)
    text = joint_text(projector, sentences)
    content: dict[str, np.ndarray] = {}
    if text is not None:
        content["text"] = text.project(catalog)
    if recipe.content.log:
        content["log"] = log_factors(train, len(catalog), recipe.content.log)
    items, vision, visual_width = item_inputs(catalog, recipe, content, device, show_progress=show_progress)
    popularity = np.bincount(train.item_rows, minlength=len(catalog)).astype(np.float32)
    items = for_training(items, popularity, recipe, device)
    spoken = [*(task.words for task in tasks), *extra_words(tasks, context)]
    coded = (0, 0) if tokenizer is None or codes is None else (tokenizer.num_codes, codes.shape[1])
    vocabulary = build_vocabulary(
        catalog, training_split.rating_scale, spoken, recipe.tokenizer, coded, own_words
    )
    rates = any(task.needs_rating_factors for task in tasks) and context.has_ratings
    factors = BiasedMF.fit(train, seed=recipe.train.seed, show=show_progress) if rates else None
    return RunArtifacts(
        recipe,
        context,
        sentence_encoder(vocabulary, recipe, text),
        tasks,
        items,
        vision,
        visual_width,
        popularity,
        fit_graphs(train, content, len(catalog), recipe.structure),
        projector,
        factors,
        tokenizer,
        sentences,
        backbone,
    )


def for_training(
    items: ItemInputs, popularity: FloatArray, recipe: Recipe, device: torch.device
) -> ItemInputs:
    """With what the loss asks of the items beside their content."""
    items = replace(items, log_popularity_I=torch.from_numpy(np.log1p(popularity)).to(device))
    if recipe.objective.cold_negatives:
        return items
    return replace(items, candidates=torch.from_numpy(np.flatnonzero(popularity)).to(device))


def picture_codes(catalog: Catalog, recipe: Recipe, *, show: bool) -> tuple[ImageTokenizer, IntArray]:
    """The image tokenizer and the [I, S] codes of the catalogue's pictures."""
    config = recipe.image_tokenizer
    pixels = load_pixels(catalog, config.height, config.picture_width, show_progress=show)
    if pixels is None:
        raise ConfigError("image_tokenizer.enabled: no item has a picture; set it to false")
    tokenizer = tokenizer_for(catalog, pixels, config, seed=recipe.train.seed, show=show)
    return tokenizer, encode_codes(tokenizer, pixels).numpy().astype(np.int64)


def item_inputs(
    catalog: Catalog,
    recipe: Recipe,
    content: dict[str, np.ndarray],
    device: torch.device,
    *,
    show_progress: bool,
) -> tuple[ItemInputs, ConvEncoder | PretrainedVision | None, int | None]:
    """Content and pictures as tensors on `device`, the frozen encoder, and the visual width.

    No width: no picture is looked at. No encoder: our own is trained with the model.
    """
    blocks = {name: torch.from_numpy(block).to(device) for name, block in content.items()}
    vision = recipe.vision
    pixels = None
    if vision.enabled and vision.encoder:
        return pretrained_inputs(catalog, vision, blocks, device, show=show_progress)
    if vision.enabled:
        pixels = load_pixels(catalog, vision.height, vision.picture_width, show_progress=show_progress)
    if pixels is None:
        return ItemInputs(blocks), None, None
    present = torch.from_numpy(pixels.present).to(device)
    check_resampler(vision, (vision.height // 8) * (vision.picture_width // 8))
    if vision.trainable:
        values = torch.from_numpy(pixels.values).to(device)
        return ItemInputs(blocks, values, None, present), None, vision.width
    seen = frozen_vision(catalog, pixels, vision, seed=recipe.train.seed, show=show_progress)
    features = seen.features_IVE.to(device)
    return ItemInputs(blocks, None, features, present), seen.encoder, vision.width


def pretrained_inputs(
    catalog: Catalog, config: VisionConfig, blocks: dict[str, Tensor], device: torch.device, *, show: bool
) -> tuple[ItemInputs, PretrainedVision, int]:
    """As `item_inputs`, by the recipe's pretrained encoder."""
    seen = pretrained_pictures(catalog, config, show=show)
    check_resampler(config, seen.tokens)
    present = seen.present_I.to(device)
    if seen.visual_IVF is None:
        assert seen.pixels_IYX3 is not None
        return ItemInputs(blocks, seen.pixels_IYX3.to(device), None, present), seen.sight, seen.width
    visual = seen.visual_IVF.to(device)
    return ItemInputs(blocks, None, visual, present, pooled_IP=pooled(visual)), seen.sight, seen.width


def check_resampler(config: VisionConfig, tokens: int) -> None:
    """ConfigError when more is asked of a picture than it has."""
    if config.resampler > tokens:
        raise ConfigError(
            f"vision.resampler {config.resampler}: a picture has {tokens} visual tokens; ask for at most that"
        )


def fit_graphs(
    train: Histories, content: dict[str, np.ndarray], num_items: int, config: StructureConfig
) -> dict[str, ItemGraph]:
    graphs: dict[str, ItemGraph] = {}
    if config.kind == "ease":
        graphs["log"] = ease_graph(train, num_items, l2=config.l2, neighbours=config.neighbours)
    elif config.kind == "cosine":
        graphs["log"] = cosine_graph(train, num_items, neighbours=config.neighbours)
    if config.content and "text" in content:
        graphs["content"] = content_graph(
            content["text"], neighbours=config.content_neighbours, threshold=config.content_threshold
        )
    return graphs
