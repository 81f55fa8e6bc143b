"""From a data set and a recipe to a `RunArtifacts`: everything that is fitted without gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from unimp.core.errors import ConfigError
from unimp.core.progress import progress_bar, say
from unimp.data.catalog import Catalog
from unimp.data.histories import Cases, FloatArray, IntArray
from unimp.data.targets import REPEATS_KEEP, count_targets
from unimp.features.cross_modal import CrossModalMatch
from unimp.features.image_tokenizer import encode_codes, tokenizer_for
from unimp.features.item_graph import fit_graphs
from unimp.features.photo_match import PhotoMatch, thumbnails_of
from unimp.features.pixels import load_pixels
from unimp.features.sentence_embeddings import fit_sentences, joint_text
from unimp.features.text import fit_text
from unimp.features.vision.encoder import VisionEncoder, encoder_class, pooled
from unimp.model.backbones.source import find_backbone
from unimp.model.image_tokenizer import ImageTokenizer
from unimp.model.inputs import ItemInputs
from unimp.runs.artifacts import RunArtifacts, sentence_encoder
from unimp.runs.recipe import Recipe
from unimp.runs.training_split import TrainingSplit
from unimp.sentence.template import Template
from unimp.sentence.vocabulary import build_vocabulary
from unimp.tasks import TASKS, extra_words, load_tasks
from unimp.tasks.rating.regression import RatingRegression
from unimp.train.negatives import log_shares


def masks_history(recipe: Recipe, valid: Cases, *, show: bool = False) -> bool:
    """Whether this run takes a user's own items out of rankings, as recipe or data have it; said aloud."""
    targets = count_targets(valid)
    masked = recipe.exclude_history
    if masked == "auto":
        masked = targets.repeat_share < REPEATS_KEEP
    remedy = "`--set exclude_history=false` keeps it, `--deduplicate first` imports without repeats"
    for line in targets.words("validation", masked=masked, remedy=remedy):
        say(line, show=show)
    if recipe.exclude_history == "auto" and not masked:
        say(
            "so a user's own items stay in the rankings, here, in evaluation and in answers "
            "(`--set exclude_history=true` masks them)",
            show=show,
        )
    return masked


def build_artifacts(
    training_split: TrainingSplit, recipe: Recipe, *, device: torch.device, show_progress: bool = True
) -> RunArtifacts:
    """Fit everything that is not learned by gradient, on the training part alone."""
    catalog, train = training_split.catalog, training_split.train
    backbone = find_backbone(recipe.backbone.name) if recipe.backbone.name else None
    own_words = backbone.tokenizer() if backbone is not None else None
    context = training_split.context(Template(catalog, recipe.sentence))
    for name in recipe.tasks:
        TASKS.find(name).check_settings(context, recipe.sections, recipe.tasks)
    tokenizer, codes = None, None
    if recipe.image_tokenizer.enabled:
        tokenizer, codes = picture_codes(catalog, recipe, show=show_progress)
        context = replace(context, codes=codes)
    tasks = load_tasks(recipe.tasks, context)
    with progress_bar("directions of the items' texts", None, show=show_progress):
        projector = fit_text(catalog, recipe.content.text) if recipe.content.text else None
    sentences = fit_sentences(catalog, recipe.content, show=show_progress)
    text = joint_text(projector, sentences)
    content: dict[str, np.ndarray] = {}
    if text is not None:
        content["text"] = text.project(catalog)
    items, vision = item_inputs(catalog, recipe, content, device, show_progress=show_progress)
    if recipe.model.identity_dropout == 1 and not content and (vision is None or not recipe.content.picture):
        raise ConfigError(
            "model.identity_dropout 1: no item has a text or a picture that could stand for it; "
            "set it below 1"
        )
    popularity = np.bincount(train.item_rows, minlength=len(catalog)).astype(np.float32)
    items = for_training(items, popularity, recipe, device)
    spoken = [*(task.words for task in tasks), *extra_words(tasks, context)]
    coded = (0, 0) if tokenizer is None or codes is None else (tokenizer.num_codes, codes.shape[1])
    vocabulary = build_vocabulary(
        catalog, training_split.rating_scale, spoken, recipe.tokenizer, coded, own_words
    )
    rates = any(task.needs_rating_factors for task in tasks) and context.has_ratings
    ratings = None
    if rates:
        ratings = RatingRegression.fit(train, content.get("text"), seed=recipe.train.seed, show=show_progress)
    cross_modal = None
    if projector is not None and any(task.shows_pictures for task in tasks):
        cross_modal = cross_modal_of(catalog, items, vision, recipe)
    return RunArtifacts(
        recipe=recipe,
        context=context,
        encoder=sentence_encoder(vocabulary, recipe, text),
        tasks=tasks,
        items=items,
        vision=vision,
        popularity=popularity,
        graphs=fit_graphs(train, content.get("text"), len(catalog), recipe.structure, show=show_progress),
        text=projector,
        ratings=ratings,
        tokenizer=tokenizer,
        sentences=sentences,
        backbone=backbone,
        photos=photos_of(catalog, vision) if any(task.shows_pictures for task in tasks) else None,
        cross_modal=cross_modal,
    )


def cross_modal_of(
    catalog: Catalog, items: ItemInputs, vision: VisionEncoder | None, recipe: Recipe
) -> CrossModalMatch | None:
    """Words and pictures in one space, for searches that score every item, by a frozen encoder's tokens."""
    visual, present = items.visual_IVE, items.has_picture_I
    if vision is None or visual is None or present is None or len(catalog) > recipe.retrieval.exact_items:
        return None
    return CrossModalMatch.fit(catalog, visual, present, describes=vision.describes)


def photos_of(catalog: Catalog, vision: VisionEncoder | None) -> PhotoMatch | None:
    """What knows the catalogue's pictures again, in the frame that shown ones come in."""
    pixels = None if vision is None else load_pixels(catalog, *vision.picture_size)
    if pixels is None:
        return None
    return PhotoMatch(thumbnails_of(pixels.values), torch.from_numpy(pixels.present))


def for_training(
    items: ItemInputs, popularity: FloatArray, recipe: Recipe, device: torch.device
) -> ItemInputs:
    """`items` with the rows that the loss searches, where they are not all, and what each counts there."""
    shares, rows = log_shares(popularity, recipe.objective.common_events), None
    if not recipe.objective.cold_negatives:
        rows = torch.from_numpy(np.flatnonzero(popularity)).to(device)
    if shares is not None:
        shares = shares.to(device) if rows is None else shares.to(device)[rows]
    return replace(items, candidates=rows, log_shares=shares)


def picture_codes(catalog: Catalog, recipe: Recipe, *, show: bool) -> tuple[ImageTokenizer, IntArray]:
    """The image tokenizer and the [I, S] codes of the catalogue's pictures."""
    config = recipe.image_tokenizer
    pixels = load_pixels(catalog, config.height, config.image_width, show_progress=show)
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
) -> tuple[ItemInputs, VisionEncoder | None]:
    """Content and pictures as tensors on `device`, and the encoder of pictures; None where none is read."""
    blocks = {name: torch.from_numpy(block).to(device) for name, block in content.items()}
    config, pictures = recipe.vision, None
    if config.enabled:
        pictures = encoder_class(config).prepare(catalog, config, seed=recipe.train.seed, show=show_progress)
    if pictures is None:
        return ItemInputs(blocks), None
    pixels, visual = pictures.pixels_IYX3, pictures.visual_IVE
    items = ItemInputs(
        blocks,
        None if pixels is None else pixels.to(device),
        None if visual is None else visual.to(device),
        pictures.present_I.to(device),
    )
    if items.visual_IVE is not None and pictures.encoder.maps_features:
        items = replace(items, pooled_IP=pooled(items.visual_IVE))
    return items, pictures.encoder
