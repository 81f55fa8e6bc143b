"""`Workbench`: everything a run stands on, made once from a data set and a recipe."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import torch

from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import Cases, FloatArray, Histories, Split
from unimp.data.interactions import RatingScale
from unimp.data.splits import leave_one_out, new_users, temporal
from unimp.decode.ranking import Mixture, ModelRanker
from unimp.encode.content import TextProjector, fit_text, log_factors
from unimp.encode.encoder import SentenceEncoder
from unimp.encode.pictures import load_pixels
from unimp.encode.vocabulary import Vocabulary, build_vocabulary
from unimp.errors import ConfigError
from unimp.model.unimp import ItemInputs, UnimpModel
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import Template
from unimp.structure.graph import ItemGraph, content_graph, cosine_graph, ease_graph
from unimp.tasks import load_task
from unimp.tasks.task import Task
from unimp.train.recipe import Recipe, StructureConfig
from unimp.train.vision import frozen_features


@dataclass(frozen=True)
class Workbench:
    """Frozen parts of a run: what is saved beside the weights, or made again from the data."""

    recipe: Recipe
    template: Template
    encoder: SentenceEncoder
    tasks: tuple[Task, ...]
    items: ItemInputs
    visual_width: int | None
    popularity: FloatArray
    """[I] training events of every item."""
    graphs: dict[str, ItemGraph]
    """Item–item scores by name: `log`, `content`."""
    text: TextProjector | None

    @property
    def vocabulary(self) -> Vocabulary:
        return self.encoder.vocabulary

    def new_model(self) -> UnimpModel:
        """A model of the recipe's shape; weights come from torch's generator."""
        recipe = self.recipe
        return UnimpModel(
            recipe.model,
            self.vocabulary.num_items,
            self.vocabulary.num_tokens,
            {name: block.shape[1] for name, block in self.items.content.items()},
            self.visual_width,
            pooled_pictures=recipe.content.picture,
            trains_vision=recipe.vision.trainable,
        )

    def ranker(self, model: UnimpModel, mixture: Mixture | None = None) -> ModelRanker:
        """The model as a `Ranker`, in evaluation mode, its item table computed once."""
        model.eval()
        with torch.inference_mode():
            state = model.item_state(self.items)
        task = self.tasks[0]

        def ask(histories: Histories, user: int) -> UserSentence:
            return task.question(self.template, histories, user)

        return ModelRanker(
            model, state, self.encoder, ask, self.popularity, self.graphs, mixture or Mixture()
        )


def make_split(dataset: Dataset, name: str, seed: int = 0) -> Split:
    """The split of that name over all users of a data set."""
    histories, num_items = dataset.interactions.histories, len(dataset.catalog)
    if name == "leave-one-out":
        return leave_one_out(histories, num_items)
    if name == "new-users":
        return new_users(histories, num_items, seed=seed)
    if name == "temporal":
        return temporal(histories, num_items)
    raise ConfigError(f"split {name}: needs the held items named; use it from Python (unimp.data.splits)")


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads or os.cpu_count() or 1)


@dataclass(frozen=True)
class Lesson:
    """What may be learned from and chosen by; the test cases are not in it."""

    catalog: Catalog
    rating_scale: RatingScale | None
    train: Histories
    valid: Cases

    @classmethod
    def of(cls, dataset: Dataset, split: Split) -> Lesson:
        return cls(dataset.catalog, dataset.interactions.rating_scale, split.train, split.valid)


def build_workbench(
    lesson: Lesson, recipe: Recipe, *, device: torch.device, show_progress: bool = True
) -> Workbench:
    """Fit everything that is not learned by gradient, on the training part alone."""
    catalog, train = lesson.catalog, lesson.train
    tasks = tuple(load_task(name) for name in recipe.tasks)
    vocabulary = build_vocabulary(
        catalog, lesson.rating_scale, [task.words for task in tasks], recipe.tokenizer
    )
    projector = fit_text(catalog, recipe.content.text) if recipe.content.text else None
    content: dict[str, np.ndarray] = {}
    if projector is not None:
        content["text"] = projector.project(catalog)
    if recipe.content.log:
        content["log"] = log_factors(train, len(catalog), recipe.content.log)
    items, visual_width = item_inputs(catalog, recipe, content, device, show_progress=show_progress)
    popularity = np.bincount(train.item_rows, minlength=len(catalog)).astype(np.float32)
    items = replace(items, log_popularity_I=torch.from_numpy(np.log1p(popularity)).to(device))
    if not recipe.objective.cold_negatives:
        trained = torch.from_numpy(np.flatnonzero(popularity)).to(device)
        items = replace(items, candidates=trained)
    return Workbench(
        recipe,
        Template(catalog, recipe.sentence),
        SentenceEncoder(vocabulary, recipe.sentence.attributes),
        tasks,
        items,
        visual_width,
        popularity,
        fit_graphs(train, content, len(catalog), recipe.structure),
        projector,
    )


def item_inputs(
    catalog: Catalog,
    recipe: Recipe,
    content: dict[str, np.ndarray],
    device: torch.device,
    *,
    show_progress: bool,
) -> tuple[ItemInputs, int | None]:
    """Content and pictures as tensors on `device`, and the visual width (None: no picture is looked at)."""
    blocks = {name: torch.from_numpy(block).to(device) for name, block in content.items()}
    vision = recipe.vision
    pixels = None
    if vision.enabled:
        pixels = load_pixels(catalog, vision.height, vision.picture_width, show_progress=show_progress)
    if pixels is None:
        return ItemInputs(blocks), None
    present = torch.from_numpy(pixels.present).to(device)
    if vision.trainable:
        return ItemInputs(blocks, torch.from_numpy(pixels.values).to(device), None, present), vision.width
    features = frozen_features(catalog, pixels, vision, seed=recipe.train.seed, show=show_progress)
    return ItemInputs(blocks, None, features.to(device), present), vision.width


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
