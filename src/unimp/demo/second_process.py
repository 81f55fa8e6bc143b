"""What the demo's second process does beside the training of UniMP: steps of this size gain little from a
second thread, two processes of one thread each halve the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

from unimp.answer import Ranker
from unimp.baselines import METHODS
from unimp.baselines.baseline import TrainingData
from unimp.core.compute import set_threads
from unimp.data.dataset import Dataset
from unimp.data.histories import Split
from unimp.demo.comparison import ranked
from unimp.demo.rankers import NearestItems, alone, fused, fused_without_model, nearest_by_text
from unimp.demo.scoreboard import own_scores, task_scores
from unimp.demo.shop.writing import with_hidden
from unimp.features.vision.encoder import PreparedPictures, descriptors, encoder_class
from unimp.metrics.ranking import RankArray
from unimp.personalizer import load
from unimp.runs.recipe import Recipe
from unimp.runs.training_split import make_split
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.task import TaskScore
from unimp.train.process_group import ProcessGroup
from unimp.train.training_run import train

BLIND, BLIND_ALONE = "UniMP, image-blind", "UniMP, image-blind, model alone"
WITHOUT = "fusion without UniMP"
SIMPLE = {"Pop": "pop", "ItemKNN": "itemknn"}

Value = TypeVar("Value")


class OneOfTwo(ProcessGroup):
    """Trains alone, beside another process that is as busy: half of the machine's threads are its own."""

    neighbours = 2


class SecondProcess(Protocol):
    """Runs jobs one after the other while its owner goes on."""

    def submit(self, job: Callable[..., Value], /, *arguments: Any) -> Future[Value]:
        """The job's result to come."""


@contextmanager
def second_process(threads: int) -> Iterator[SecondProcess]:
    """A process for the jobs of this module; `threads` as in `train.threads`."""
    pool = ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=set_threads, initargs=(threads, OneOfTwo.neighbours)
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class BlindSelf:
    """What is known of the image-blind self."""

    ranks: dict[str, RankArray]
    """[test cases] with the fusion and without, by the rows' names."""
    scores: dict[str, TaskScore]
    """By task."""


def prepare_pictures(shop: Path, recipe: Recipe) -> None:
    """Train the picture encoder into the cache, where UniMP's own preparation finds it."""
    pictures_of(Dataset.load(shop), recipe)


def judge_simple_methods(shop: Path, recipe: Recipe) -> dict[str, RankArray]:
    """[test cases] the ranks of everything that has no network over histories."""
    dataset, split, data = opened(shop)
    prepared = pictures_of(dataset, recipe)
    assert prepared is not None, "the demo's recipe reads pictures"
    assert prepared.visual_IVE is not None, "the demo's encoder is frozen"
    looks = descriptors(prepared.visual_IVE, prepared.present_I)
    rankers: dict[str, Ranker] = {}
    for name, key in SIMPLE.items():
        method = METHODS[key].make()
        method.fit(data, seed=0)
        rankers[name] = method
    rankers |= {"nearest by picture": NearestItems(looks), "nearest by text": nearest_by_text(data)}
    rankers[WITHOUT] = fused_without_model(looks, data, recipe.fusion)
    return ranked(rankers, split.test)


def judge_blind_self(shop: Path, recipe: Recipe, folder: Path) -> BlindSelf:
    """Train the image-blind self in `folder` and judge it on the test cases."""
    dataset, split, _ = opened(shop)
    train(dataset, recipe, folder, show=False, process_group=OneOfTwo())
    blind = load(folder, data=shop)
    ranks = ranked({BLIND_ALONE: alone(blind), BLIND: fused(blind)}, split.test)
    others = [name for name in blind.tasks if name != RecommendationTask.name]
    return BlindSelf(ranks, own_scores(blind, others, split.test))


def judge_drawings(shop: Path, folder: Path) -> dict[str, dict[str, TaskScore]]:
    """What the trained run in `folder` and the simple references draw, by the task's name."""
    dataset, split, _ = opened(shop)
    shown = with_hidden(dataset.catalog, shop)
    return task_scores(load(folder, data=shop), [ImageGenerationTask.name], split.test, shown)


def opened(shop: Path) -> tuple[Dataset, Split, TrainingData]:
    dataset = Dataset.load(shop)
    split = make_split(dataset, "leave-one-out")
    return dataset, split, TrainingData.of(split, dataset.catalog)


def pictures_of(dataset: Dataset, recipe: Recipe) -> PreparedPictures | None:
    """The catalogue's pictures as the recipe's encoder sees them; the cache keeps encoder and features."""
    vision = encoder_class(recipe.vision)
    return vision.prepare(dataset.catalog, recipe.vision, seed=recipe.train.seed, show=False)
