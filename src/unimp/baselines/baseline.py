"""The contract of a method: learn from a training log, then score the whole catalogue for any history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from unimp.core.config import Config, TeacherKind
from unimp.core.errors import CheckpointError, ConfigError, DataError
from unimp.data.catalog import Catalog
from unimp.data.histories import Cases, FloatArray, Histories, Split

ConfigT = TypeVar("ConfigT", bound=Config)
Arrays = dict[str, npt.NDArray[Any]]


Modality = Literal["text", "image"]


class ItemFeatures(Protocol):
    """Frozen content of the items, the same for every method; made when it is first asked for."""

    def text(self) -> FloatArray | None:
        """[num_items, F] rows of length 1, zeros for items without a word; None when no item has text."""
        ...

    def image(self) -> FloatArray | None:
        """[num_items, F], zeros for items without a picture; None when no item has one."""
        ...


class Teacher(Protocol):
    """A method without a network whose opinion of the training histories networks may learn from."""

    def targets(self, kind: TeacherKind) -> tuple[npt.NDArray[np.int32], FloatArray]:
        """[E, K] items behind every training event, and their [E, K] parts, which sum to 1."""
        ...


@dataclass(frozen=True)
class TrainingData:
    """All that a method may see while it learns: the test cases are not in it, so nothing can peek."""

    train: Histories
    valid: Cases
    """To stop early and to choose settings by, never to learn from. May be empty: see `Baseline.refitted`."""
    catalog: Catalog
    exclude_history: bool = True
    """Whether the judge masks a user's own history; validate by the same rule."""
    features: ItemFeatures | None = None
    """Text and picture features, for the methods that read them."""
    teacher: Teacher | None = None
    """For the methods that learn from one where their settings say so."""

    @classmethod
    def of(
        cls,
        split: Split,
        catalog: Catalog,
        *,
        exclude_history: bool = True,
        features: ItemFeatures | None = None,
        teacher: Teacher | None = None,
    ) -> TrainingData:
        """The part of a split that is not the test."""
        return cls(split.train, split.valid, catalog, exclude_history, features, teacher)

    @property
    def num_items(self) -> int:
        return len(self.catalog)

    def content(self, modality: Modality, method: str) -> FloatArray:
        """[num_items, F] features for `method`; DataError says what is missing and what works without it."""
        found = None
        if self.features is not None:
            found = self.features.text() if modality == "text" else self.features.image()
        if found is None:
            raise DataError(missing_content(modality, method, with_features=self.features is not None))
        return found

    def teacher_targets(self, method: str, kind: TeacherKind) -> tuple[npt.NDArray[np.int32], FloatArray]:
        """The teacher's, see `Teacher`; ConfigError where the data come without one."""
        if self.teacher is None:
            raise ConfigError(f"{method}.teacher_share: the training data bring no teacher; set it to 0")
        return self.teacher.targets(kind)


def missing_content(modality: Modality, method: str, *, with_features: bool) -> str:
    """One line: which column is missing, and the methods that do without."""
    from unimp.baselines import METHODS

    others = ", ".join(name for name, entry in METHODS.items() if modality not in entry.inputs)
    if not with_features:
        lack = f"needs {modality} features and the training data brings none (TrainingData.features)"
    elif modality == "image":
        lack = 'needs pictures, and column "picture" of the catalogue is empty'
    else:
        lack = "needs text, and no text or category column of the catalogue has a word that two items share"
    return f"{method}: {lack}; methods that work without: {others}"


class Method(Protocol):
    """What the benchmark asks of a method: made from a config, fitted, and then a `Ranker`."""

    config_class: ClassVar[type[Config]]

    def __init__(self, config: Any) -> None: ...

    def fit(self, data: TrainingData, *, seed: int, show_progress: bool = False) -> None:
        """Learn; the same data, config, seed and machine give the same method."""
        ...

    def score(self, histories: Histories) -> FloatArray:
        """[U, num_items], higher is better, finite; a user's scores do not depend on the other users."""
        ...


class Baseline(ABC, Generic[ConfigT]):
    """Base of our methods: a subclass writes `learn`, `score_known`, `arrays` and `restore`.

    A user without any history gets the training popularity of the items, whatever the method. Items that
    training never saw get a finite score as well: the method's own, however little it means.
    """

    config_class: ClassVar[type[Config]]
    """The method's settings, beside the method."""

    def __init__(self, config: ConfigT) -> None:
        self.config = config
        self.popularity: FloatArray = np.zeros(0, dtype=np.float32)
        """[num_items] training events of every item."""

    @property
    def num_items(self) -> int:
        return len(self.popularity)

    def fit(self, data: TrainingData, *, seed: int, show_progress: bool = False) -> None:
        """Learn; the same data, config, seed and machine give the same method."""
        counts = np.bincount(data.train.item_rows, minlength=data.num_items)
        self.popularity = counts.astype(np.float32)
        self.learn(data, seed=seed, show_progress=show_progress)

    def refitted(self, data: TrainingData, *, seed: int, show_progress: bool = False) -> Self:
        """A fresh one that learned from `data`, which has no validation cases: with the settings of this one,
        and what this one chose on validation (epochs, MACR's c)."""
        again = type(self)(self.chosen_config())
        again.fit(data, seed=seed, show_progress=show_progress)
        return again

    def chosen_config(self) -> ConfigT:
        """The settings, with what validation chose among them."""
        return self.config

    def score(self, histories: Histories) -> FloatArray:
        """[U, num_items], higher is better; users with an empty history get the items' popularity."""
        scores = np.empty((len(histories), self.num_items), dtype=np.float32)
        known = np.flatnonzero(histories.lengths)
        everybody = len(known) == len(histories)
        if len(known):
            scores[known] = self.score_known(histories if everybody else histories.select(known))
        scores[histories.lengths == 0] = self.popularity
        return scores

    @abstractmethod
    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        """Learn from `data.train`; `popularity` is already there."""

    @abstractmethod
    def score_known(self, histories: Histories) -> FloatArray:
        """[U, num_items] for users with at least one event; events may be of items never trained on."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """All that was learnt, by name."""

    @abstractmethod
    def restore(self, arrays: Arrays) -> None:
        """Take back what `arrays` gave; `popularity` is already there."""

    def save(self, folder: Path) -> None:
        """Write `config.json` and `arrays.safetensors` into `folder`."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        # safetensors writes the buffer as it lies: a view or a transposed array would come back scrambled.
        flat = {name: np.ascontiguousarray(values) for name, values in self.arrays().items()}
        save_file({**flat, "popularity": self.popularity}, folder / "arrays.safetensors")
        (folder / "config.json").write_text(self.config.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; CheckpointError when it is missing or damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            config = cls.config_class.model_validate_json((folder / "config.json").read_text())
            arrays: Mapping[str, npt.NDArray[Any]] = load_file(folder / "arrays.safetensors")
            method = cls(config)  # type: ignore[arg-type]  # config_class is ConfigT, which ClassVar cannot say
            rest = dict(arrays)
            method.popularity = rest.pop("popularity")
            method.restore(rest)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"{folder}: not a saved {cls.__name__} ({reason}); fit it again") from None
        return method
