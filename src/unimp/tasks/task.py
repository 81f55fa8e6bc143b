"""`Task`: what a task is: words, training sentences, a decoder, a score, a typed request and answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeAlias

import numpy as np
from typing_extensions import TypeVar

from unimp.data.histories import Cases, Histories
from unimp.metrics.ranking import RankArray
from unimp.sentence.parts import Role, UserSentence
from unimp.sentence.template import Writer, events_of
from unimp.tasks.context import TaskContext
from unimp.tasks.requests import TaskRequest
from unimp.tasks.windows import Window

if TYPE_CHECKING:
    import polars as pl

    from unimp.core.config import Config
    from unimp.data.catalog import Catalog
    from unimp.fusion.structure import StructureConfig
    from unimp.fusion.weights import FittedWeights
    from unimp.inference.decoder import Decoder
    from unimp.tasks.decoding import DecoderParts


class TaskAnswer(Protocol):
    """What every answer tells; a task's answer is a frozen dataclass with further fields."""

    @property
    def history(self) -> tuple[str, ...]:
        """The item ids the answer was made from, oldest first."""

    @property
    def cold_start(self) -> bool:
        """True when there was no history: the answer then rests on popularity and content alone."""


@dataclass(frozen=True)
class TaskScore:
    """How well a task was done; `unscored` cases are counted, not taken as zero."""

    metrics: dict[str, float]
    """Fractions, by name (ratings: in the data's own scale)."""
    cases: int
    unscored: int
    ranks: RankArray | None = None
    """[cases] the target's rank, where the task ranks items."""
    values: RankArray | None = None
    """[cases] what a metric is the mean of, case by case; NaN is unscored."""
    values_of: str = ""
    """That metric, where it is not the headline."""


RequestT = TypeVar("RequestT", bound=TaskRequest)
AnswerT = TypeVar("AnswerT", bound=TaskAnswer)
DecoderT = TypeVar("DecoderT", bound="Decoder")
MethodT = TypeVar("MethodT", default=DecoderT)
"""Whatever can be scored at the task: a protocol that the decoder and the simple references satisfy."""


class Task(ABC, Generic[RequestT, AnswerT, DecoderT, MethodT]):
    """Makes examples and questions, answers requests, judges answers.

    A task is a package `tasks/NAME/`, or a class of another package that the entry point group `unimp.tasks`
    names. Training and inference write their sentences with the same template. Everything outside of the
    package is generated from the class: command, HTTP route, page form, batch columns, documentation.
    Importing the class must not import torch: decoders are imported inside `decoder`.
    """

    name: ClassVar[str]
    """In recipes, results and `--task`."""
    command: ClassVar[str]
    """The verb of the command line, and the last segment of the HTTP path."""
    aliases: ClassVar[tuple[str, ...]] = ()
    """Further names of the command and the path, for scripts that use them."""
    summary: ClassVar[str]
    """One line that says what the command does: help, documentation, page."""
    words: ClassVar[str]
    """The task description T, as the model reads it."""
    headline: ClassVar[str]
    """The metric that says in one figure how well the task is done."""
    Request: ClassVar[type[TaskRequest]]
    """The class of its requests, RequestT; no other task has the same."""
    Answer: ClassVar[type[Any]]
    """The class of its answers, AnswerT: a frozen dataclass that pydantic can write as JSON."""
    answer_example: ClassVar[Mapping[str, Any]] = {}
    """What the JSON of an answer looks like, for documentation."""

    lower_is_better: ClassVar[bool] = False
    by_likelihood: ClassVar[bool] = False
    """While training, the likelihood of held-out answers is watched instead of the headline: an answer
    would have to be written or drawn for every case."""
    ranks_items: ClassVar[bool] = False
    """Its score has the rank of every case's target in the full catalogue."""
    chooses_items: ClassVar[bool] = False
    """The right answer is the item that the user chose next."""
    predicts_horizon: ClassVar[bool] = False
    """`objective.horizon` counts further items of the history as right answers."""
    compared_by_bench: ClassVar[bool] = False
    """Its references are the methods of `unimp bench`, not those of `references`."""
    needs_rating_factors: ClassVar[bool] = False
    """Its decoder uses the rating factors in closed form, where the data have ratings."""
    takes_from: ClassVar[tuple[str, ...]] = ()
    """Names of the tasks whose decoders this one's uses, where the checkpoint has them: their fusion weights
    are fitted first."""
    shows_pictures: ClassVar[bool] = False
    """Its requests may show a picture."""
    makes_files: ClassVar[bool] = False
    """Its answers hold files (pictures): the command needs a folder for them."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self.template = context.template

    # What the data must have

    @classmethod
    def lacks(cls, context: TaskContext) -> str | None:
        """What the data would need for this task; None when it has all."""
        return None

    @classmethod
    def check_settings(cls, context: TaskContext, configs: Sequence[Config], names: Sequence[str]) -> None:
        """Before anything is learned: ConfigError where the recipe's sections ask of this task what it cannot
        do beside the tasks of these names, all of the checkpoint. By default it can do all.

        The context has no codes of pictures yet.
        """

    @classmethod
    def extra_words(cls, context: TaskContext) -> Mapping[str, Sequence[str]]:
        """Texts that the vocabulary must spell beside the catalogue's own, from the training part alone.

        By name of the corpus; a corpus that several tasks name is counted once.
        """
        return {}

    # Training

    @abstractmethod
    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        """The training sentences of one epoch."""

    @abstractmethod
    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        """One training sentence, answers included."""

    def likelihood_examples(self, cases: Cases) -> list[UserSentence]:
        """Held-out answers as complete sentences, for tasks watched `by_likelihood`."""
        raise NotImplementedError(f"{self.name} is judged by its score")

    # Answers

    def begin_question(
        self, histories: Histories, user: int, known: int | None = None, role: Role = Role.CONTEXT
    ) -> Writer:
        """The beginning of a question: the task description, and the latest events that a sentence holds.

        known: the model has read so many of those events, and what stands before them: write only the rest.
        """
        if known is None:
            return self.template.history(events_of(histories, user), self.words, role)
        length = int(histories.offsets[user + 1] - histories.offsets[user])
        first = max(length - self.template.config.max_items, 0)
        events = events_of(histories, user, first + known)
        return self.template.history(events, self.words, role, opening=False)

    @abstractmethod
    def decoder(self, parts: DecoderParts) -> DecoderT:
        """What answers this task with the model, mixed with the task's own fusion weights."""

    def check(self, request: RequestT) -> None:
        """DataError or ConfigError when the catalogue cannot answer the request; no work is done."""
        self.context.catalog.rows(list(request.item_ids))

    @abstractmethod
    def answer(
        self,
        decoder: DecoderT,
        histories: Histories,
        requests: Sequence[RequestT],
        picture_rows: Sequence[int] = (),
    ) -> list[AnswerT]:
        """U answers to U requests, whose users have these U histories, in one forward pass.

        An answer does not depend on the other requests. `picture_rows`: [U] rows of the pictures from
        outside that the requests show, -1 for none; the decoder's item state has them. Empty: nobody shows
        any. The `user` and `history` of the requests are not read: `histories` stands for them.
        """

    def columns(self, answers: Sequence[AnswerT]) -> list[pl.Series]:
        """The answers as columns of a batch: by default every field but the history."""
        import polars as pl
        from pydantic import TypeAdapter

        written = [TypeAdapter(self.Answer).dump_python(answer, mode="json") for answer in answers]
        names = [name for name in (written[0] if written else {}) if name not in {"history", "cold_start"}]
        return [pl.Series(name, [row[name] for row in written]) for name in names]

    def lines(self, answer: AnswerT) -> list[str]:
        """The answer for a terminal, below the history: by default a line for every field."""
        return [f"{name}: {value}" for name, value in vars(answer).items() if name not in {"history"}]

    def files(self, answer: AnswerT) -> dict[str, bytes]:
        """File name -> content, for tasks that make files."""
        return {}

    # Judging

    def fit_fusion(
        self, decoder: DecoderT, valid: Cases, config: StructureConfig, *, exclude_history: bool = True
    ) -> FittedWeights | None:
        """What the sources of scores count beside the model, chosen on validation; None: no sources."""
        return None

    @abstractmethod
    def score(
        self, method: MethodT, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """Answer every case and judge the answers."""

    def with_judge(
        self, parts: DecoderParts, *, seed: int, shown: Catalog | None = None, show: bool = False
    ) -> Self:
        """The task with what must be trained to judge its answers; by default nothing.

        `shown`: the catalogue with what its pictures show as further attributes, where that is known.
        """
        return self

    def judge_facts(self) -> dict[str, float]:
        """What the trained judge itself is worth; empty without one."""
        return {}

    def judge_note(self) -> str | None:
        """What a reader must know of the judge before its figures; None: nothing."""
        return None

    def references(self, parts: DecoderParts) -> Mapping[str, MethodT]:
        """Name -> a simple method that is judged on the same cases, fitted on the training part."""
        return {}


AnyTask: TypeAlias = Task[Any, Any, Any, Any]
"""A task of a checkpoint, whatever it asks and answers."""
