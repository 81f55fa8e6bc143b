"""`[objective]`, `[distillation]` and `[train]` of a recipe.

They stand beside `Recipe` and not in `train/`: opening a run reads its whole recipe and imports no trainer.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from unimp.core.config import Config
from unimp.core.errors import did_you_mean
from unimp.data.splits import SplitName
from unimp.fusion.config import TeacherConfig
from unimp.tasks import TASKS

SAMPLED_FROM = {"cpu": 20_000, "cuda": 200_000}
"""Items from which on `objective.softmax = "auto"` samples, by device. CPU: measured (docs/scale.md); CUDA:
by the arithmetic of the two steps, not measured."""


class ObjectiveConfig(Config):
    """Weights of the losses (UniMP: joint multi-task learning and context reconstruction)."""

    removed_keys: ClassVar[dict[str, Any]] = {"prior": 0.0, "label_smoothing": 0.0}

    tasks: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Weight λ of each task's loss; a task that is not named has 1. Only ratios count: their mean over an
    epoch's batches is scaled to 1."""
    temperature: float = Field(1.0, ge=1)
    """Mixing of tasks: a task's share of the sentences is proportional to its number of examples to the power
    1 / temperature. 1: proportional; very large: the same number of sentences for every task."""
    sentences: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Factor of each task's number of sentences in an epoch, after the mixing; a task that is not named has
    1. Below 1 an epoch trains the task on some of the users, drawn anew each time: for tasks whose sentences
    are long, or that learn early."""
    item: float = Field(1.0, ge=0)
    """Context reconstruction: weight of the history's items, in tasks whose answer is something else."""
    attribute: float = Field(1.0, ge=0)
    """Context reconstruction: weight of the words of each item's attributes."""
    rating: float = Field(1.0, ge=0)
    """Context reconstruction: weight of the history's ratings, in tasks whose answer is something else."""
    gamma: float = Field(2.0, ge=0)
    """Token-level re-weighting (1 - p)^gamma; 2 in the paper's runs, 0 switches it off. The weights are
    scaled to a mean of 1."""
    detach: bool = True
    """Treat the re-weighting as a constant; otherwise the gradient runs through it as well (focal loss)."""
    horizon: int = Field(1, ge=1)
    """How many of the next items count as right answers of one recommendation. More than 1 where the order
    within a history carries little (baskets, films rated in one evening)."""
    horizon_decay: float = Field(0.8, gt=0, le=1)
    """Weight of each further right answer, relative to the one before it."""
    cold_negatives: bool = True
    """Count items without a training event among the wrong answers. Off, training does not push them away:
    their identity vector stays zero and their content alone describes them, as it does a new item."""
    common_events: int = Field(1, ge=1)
    """From so many training events on an item counts fully among the wrong answers, below in proportion; an
    item without an event like one with one. Above 1 where many items are new: one that was just put on sale
    is seldom the right answer of training, and would learn that it hardly ever is."""
    softmax: Literal["auto", "full", "sampled"] = "auto"
    """Among which items training looks for the next one: all, or a step's own and `negatives` drawn ones,
    with the drawing's bias corrected. `auto` samples from 20,000 items on (200,000 on CUDA devices), where a
    step over all items costs more. A step then computes, and changes, only the items that it touches."""
    negatives: int = Field(2048, ge=1)
    """Items that a step with the sampled softmax draws, beside the right answers of its batch."""
    negatives_power: float = Field(0.5, ge=0, le=1)
    """An item is drawn in proportion to its number of training events to this power: 0 draws all alike."""

    @field_validator("tasks", "sentences")
    @classmethod
    def _known_tasks(cls, tasks: dict[str, float]) -> dict[str, float]:
        for name in tasks:
            if name not in TASKS:
                raise ValueError(f"unknown task {name!r}{did_you_mean(name, TASKS)}")
        return tasks


class DistillationConfig(TeacherConfig):
    """Targets of a teacher without a network (Hinton et al. 2015), mixed with what users chose next.

    The teacher is the learned fusion (docs/fusion.md) without times and pictures. It speaks about each user
    by relations that were counted without that user's fold, and it never sees a validation item.
    """

    share: float = Field(0.0, ge=0, lt=1)
    """Part of the teacher in the targets of recommendation; 0: no teacher."""


class TrainConfig(Config):
    """The training loop."""

    epochs: int = Field(30, ge=1)
    """Most passes over all histories."""
    max_steps: int = Field(0, ge=0)
    """Stop after this many steps, within an epoch if need be; 0: no limit."""
    lr: float = Field(1e-3, gt=0)
    """Peak learning rate of AdamW."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps over which the learning rate rises; cosine decay to `final_lr` follows."""
    final_lr: float = Field(0.1, ge=0, le=1)
    """Learning rate at the end, as a share of `lr`."""
    weight_decay: float = Field(0.01, ge=0)
    """Of matrices; gates, norms and biases do not decay."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    average: float = Field(0.0, ge=0, lt=1)
    """Keep an exponential average of the weights that forgets 1 - this of itself at a step; validation judges
    it, and the run answers by it. 0: the weights themselves. The identity table of a sampled softmax is not
    averaged."""
    batch_positions: int = Field(2048, ge=1)
    """Positions of a step's batch, padding included."""
    patience: int = Field(5, ge=1)
    """Stop after this many epochs without a better validation score: the headline metric of the task, or the
    geometric mean of the tasks' headline metrics."""
    refit: bool = False
    """Once all is chosen, learn once more from the beginning, the validation items among the events, for as
    many epochs as they had chosen; the run answers by that. Doubles the time; the test stays unseen."""
    valid_users: int = Field(5000, ge=1)
    """Validation users that are scored after each epoch, sampled by seed."""
    seed: int = 0
    """Seed of initial weights, order of batches and dropout."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the compact decoder's layers while it trains; bfloat16 needs a CUDA device. Weights,
    losses and answers stay float32. A backbone has a key of its own."""
    compile: bool = False
    """Compile the compact decoder's layers with torch.compile; needs a CUDA device. A backbone has a key of
    its own."""
    threads: int = Field(0, ge=0)
    """CPU threads; 0 takes all."""
    checkpoint_seconds: float = Field(60.0, gt=0)
    """Longest time between two saved training states."""
    split: SplitName = "leave-one-out"
    """How validation and test events are held out."""
