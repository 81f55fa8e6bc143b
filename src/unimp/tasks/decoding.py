"""`DecoderParts`: what a run gives every task's decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor

from unimp.answer import PictureArray, Rater
from unimp.core.config import Config
from unimp.core.errors import ConfigError
from unimp.inference.decoder import Decoder
from unimp.inference.score_sources import FusionWeights, ScoreSources
from unimp.inference.second_stage import SecondStage
from unimp.model.image_tokenizer import ImageTokenizer
from unimp.model.inputs import ItemInputs, ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.encoder import SentenceEncoder

if TYPE_CHECKING:
    from typing import Any

    from unimp.tasks.task import AnyTask, Task

ConfigT = TypeVar("ConfigT", bound=Config)
TaskT = TypeVar("TaskT", bound="AnyTask")
DecoderT = TypeVar("DecoderT", bound=Decoder)


@dataclass(frozen=True)
class Eyes:
    """How the model reads pictures from outside."""

    see: Callable[[PictureArray], Tensor]
    """uint8 pictures [X, Y, X', 3] of `size` -> visual tokens [X, V, E]."""
    find_size: Callable[[], tuple[int, int]]
    """Gives `size`. A pretrained encoder is opened for it: words alone never wait for that."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pixels that `see` reads."""
        return self.find_size()


@dataclass(frozen=True)
class DecoderParts:
    """The model, its items, and what stands beside them. Decoders are made once, on first use."""

    tasks: tuple[AnyTask, ...]
    """The checkpoint's tasks."""
    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    items: ItemInputs
    """Content and pictures of the items, as the model is given them."""
    sources: ScoreSources
    """Scores of items that no gradient made."""
    fusion_weights: Mapping[str, FusionWeights] = field(default_factory=dict)
    """Task name -> what the sources count; a task that is not named answers by the model alone."""
    configs: tuple[Config, ...] = ()
    """Sections of the recipe."""
    second_stage: SecondStage | None = None
    """Orders recommendations in the end; None: the fusion weights do."""
    factors: Rater | None = None
    """Ratings in closed form: biases, factors, latest ratings and those of like items."""
    tokenizer: ImageTokenizer | None = None
    eyes: Eyes | None = None
    """None where the model cannot read pictures from outside."""
    show: bool = False
    """Show a progress bar for long work."""
    _decoders: dict[str, Decoder] = field(default_factory=dict, repr=False)

    def config(self, section: type[ConfigT]) -> ConfigT:
        """The recipe's section of that class, or its defaults."""
        return next((found for found in self.configs if isinstance(found, section)), None) or section()

    def weights(self, task: AnyTask) -> FusionWeights:
        """The task's own fusion weights."""
        return self.fusion_weights.get(task.name, FusionWeights())

    def find(self, kind: type[TaskT]) -> TaskT | None:
        """The checkpoint's task of that class."""
        return next((task for task in self.tasks if isinstance(task, kind)), None)

    def task(self, kind: type[TaskT]) -> TaskT:
        """The checkpoint's task of that class; ConfigError where it has none."""
        found = self.find(kind)
        if found is None:
            names = ", ".join(task.name for task in self.tasks)
            raise ConfigError(f"this checkpoint was trained without the task {kind.name}; it has: {names}")
        return found

    def decoder_of(self, kind: type[Task[Any, Any, DecoderT, Any]]) -> DecoderT | None:
        """The decoder of the checkpoint's task of that class; None where it has no such task."""
        task = self.find(kind)
        return None if task is None else self.decoder(task)

    def decoder(self, task: Task[Any, Any, DecoderT, Any]) -> DecoderT:
        """The decoder of one of the tasks."""
        if task.name not in self._decoders:
            self._decoders[task.name] = task.decoder(self)
        found: DecoderT = self._decoders[task.name]  # type: ignore[assignment]
        return found
