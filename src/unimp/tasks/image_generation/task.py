"""User-guided image generation: a picture of what the words ask for, in the user's taste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property, partial
from typing import TYPE_CHECKING, Self

import numpy as np

from unimp.answer import Imaginer, Query
from unimp.core.config import Config
from unimp.core.errors import ConfigError
from unimp.core.images import png_bytes
from unimp.data.catalog import Catalog
from unimp.data.histories import Cases, Histories, IntArray
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import HistoryEvent, events_of
from unimp.tasks.context import TaskContext
from unimp.tasks.image_generation.sampling import SamplingConfig
from unimp.tasks.image_generation.schema import ANSWER_EXAMPLE, Drawing, ImageRequest, added
from unimp.tasks.ranking import history_ids
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.search.task import SearchTask
from unimp.tasks.task import Task, TaskScore
from unimp.tasks.windows import Window, cut_windows

if TYPE_CHECKING:
    import polars as pl

    from unimp.tasks.decoding import DecoderParts
    from unimp.tasks.image_generation.decoder import ModelImageGenerator
    from unimp.tasks.image_generation.picture_judge import PictureJudge
    from unimp.tasks.image_generation.planning import WishPlanner
    from unimp.tasks.image_generation.reranking import PictureQuestion, PictureReranker

UNGUIDED_SHARE = 0.15
"""Share of training pictures drawn from the history alone."""
COLD_SHARE = 0.4
"""Share drawn from words alone, of any picture of the catalogue, sold or not: what a new user's picture,
and the non-personal reference, rest on."""
PICTURES = 2
"""Sentences per stretch of history: each holds one picture."""
MOST_EVENTS = 12
"""Latest items of the history that a picture is drawn from."""


class ImageGenerationTask(Task[ImageRequest, Drawing, "ModelImageGenerator", Imaginer]):
    """The picture of one item of the history, in codes, after the items before it and words about it."""

    name = "imagination"
    command = "generate-image"
    aliases = ("imagine",)
    summary = "Generate pictures."
    words = "draw a picture that the user will like"
    headline = "likelihood"
    Request = ImageRequest
    Answer = Drawing
    answer_example = ANSWER_EXAMPLE
    by_likelihood = True
    takes_from = ("search", "recommendation")
    makes_files = True

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        self.judge: PictureJudge | None = None

    @classmethod
    def lacks(cls, context: TaskContext) -> str | None:
        return None if context.codes is not None else "pictures, and image_tokenizer.enabled in the recipe"

    @classmethod
    def check_settings(cls, context: TaskContext, configs: Sequence[Config], names: Sequence[str]) -> None:
        planned = [name for one in configs if isinstance(one, SamplingConfig) for name in one.planned]
        if planned and SearchTask.name not in names:
            raise ConfigError(
                f"sampling.planned: the task {SearchTask.name} says what is planned; add it to tasks, "
                "or leave planned empty"
            )
        for name in planned:
            context.queries.check(name)

    @classmethod
    def extra_words(cls, context: TaskContext) -> Mapping[str, Sequence[str]]:
        return {"logged queries": context.training_queries()}

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        """A few pictures per stretch: those of items drawn from it."""
        windows = []
        for window in [
            w for _ in range(PICTURES) for w in cut_windows(histories, max_items, rng, draws=True)
        ]:
            stop = window.start + 1 + int(rng.integers(window.stop - window.start))
            if self._drawn(int(histories.items_of(window.user)[stop - 1])):
                windows.append(Window(window.user, window.start, stop, window.draw))
        return windows

    @cached_property
    def pictured(self) -> IntArray:
        """Rows of the items whose picture has codes."""
        codes = self.context.codes
        assert codes is not None
        return np.flatnonzero(codes[:, 0] >= 0)

    def _drawn(self, row: int) -> bool:
        codes = self.context.codes
        return codes is not None and bool(codes[row, 0] >= 0)

    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        rng = np.random.default_rng(window.draw)
        events = events_of(histories, window.user, window.start, window.stop)
        cold = rng.random() < COLD_SHARE
        target = int(rng.choice(self.pictured)) if cold else events[-1].item_row
        posed = self.context.queries.pose(target, str(histories.user_ids[window.user]), rng)
        guided = rng.random() >= UNGUIDED_SHARE
        query = posed.query if posed is not None and guided else Query()
        return self.write([] if cold else events[:-1], query, target)

    def write(self, events: list[HistoryEvent], query: Query, target: int | None = None) -> UserSentence:
        """History, guidance, answer; the codes of the target when it is known."""
        writer = self.template.history(events[-MOST_EVENTS:], self.words).asking(query).answer()
        codes = self.context.codes
        if target is None or codes is None:
            return writer.codes(()).done()
        return writer.codes(codes[target].tolist()).done()

    def question(self, histories: Histories, user: int, query: Query) -> UserSentence:
        return self.write(events_of(histories, user), query)

    def guidance(self, cases: Cases) -> list[Query]:
        """Words for every case, made from its target's shared values, always the same."""
        queries = []
        for row, event in zip(cases.target_rows.tolist(), cases.target_events.tolist(), strict=True):
            rng = np.random.default_rng([17, max(event, 0)])
            values = self.context.queries.choose_values(row, rng) if row >= 0 else []
            queries.append(Query(" ".join(value for _, value in values)))
        return queries

    def likelihood_examples(self, cases: Cases) -> list[UserSentence]:
        queries = self.guidance(cases)
        return [
            self.write(events_of(cases.histories, case), queries[case], row)
            for case, row in enumerate(cases.target_rows.tolist())
            if row >= 0 and self._drawn(row)
        ]

    def decoder(self, parts: DecoderParts) -> ModelImageGenerator:
        from unimp.tasks.image_generation.decoder import ModelImageGenerator

        assert parts.tokenizer is not None
        return ModelImageGenerator(
            parts.model,
            parts.state,
            parts.encoder,
            self,
            parts.tokenizer,
            parts.config(SamplingConfig),
            self.reranker(parts),
            self.planner(parts),
            show=parts.show,
        )

    def planner(self, parts: DecoderParts) -> WishPlanner | None:
        """What says what to draw beside the words, by the model's search; None where nothing is planned."""
        from unimp.tasks.image_generation.planning import WishPlanner

        planned = parts.config(SamplingConfig).planned
        if not planned:
            return None
        self.check_settings(self.context, parts.configs, [task.name for task in parts.tasks])
        return WishPlanner(parts.decoder(parts.task(SearchTask)), self.context.queries, planned)

    def reranker(self, parts: DecoderParts) -> PictureReranker | None:
        """What tells drawn pictures apart: the model's search, else its recommendation.

        None where the model reads no pictures, or has neither of the two tasks.
        """
        from unimp.tasks.image_generation.reranking import PictureReranker

        if parts.state.pictures_ID is None or parts.eyes is None:
            return None
        search, recommendation = parts.find(SearchTask), parts.find(RecommendationTask)
        question: PictureQuestion
        if search is not None:
            question = search.question
        elif recommendation is not None:
            question = partial(without_query, recommendation)
        else:
            return None
        return PictureReranker(
            parts.model, parts.state, parts.encoder, question, parts.eyes.see, parts.eyes.size
        )

    def answer(
        self,
        decoder: ModelImageGenerator,
        histories: Histories,
        requests: Sequence[ImageRequest],
        picture_rows: Sequence[int] = (),
    ) -> list[Drawing]:
        known = [self.known_attributes(request) for request in requests]
        wishes = [
            Query(" ".join([*values.values(), *([request.text.strip()] if request.text.strip() else [])]))
            for request, values in zip(requests, known, strict=True)
        ]
        drawn = decoder.draw_all(histories, wishes, requests)
        histories_as_ids = history_ids(self.context.catalog, histories)
        return [
            Drawing(
                tuple(pictures),
                request.text,
                values,
                request.seed,
                history,
                not history,
                planned,
                added(planned, history=bool(history), words=bool(wish.text)),
            )
            for request, values, wish, (pictures, planned), history in zip(
                requests, known, wishes, drawn, histories_as_ids, strict=True
            )
        ]

    def check(self, request: ImageRequest) -> None:
        super().check(request)
        self.known_attributes(request)

    def known_attributes(self, request: ImageRequest) -> dict[str, str]:
        """The attributes as the catalogue writes them; ConfigError names an unknown one and the nearest."""
        queries = self.context.queries
        return {name: queries.known(name, value) for name, value in (request.attributes or {}).items()}

    def columns(self, answers: Sequence[Drawing]) -> list[pl.Series]:
        """A picture for each line, as the bytes of a PNG file."""
        import polars as pl

        files = [png_bytes(answer.pictures[0]) for answer in answers]
        return [pl.Series("picture", files, dtype=pl.Binary)]

    def lines(self, answer: Drawing) -> list[str]:
        return list(answer.because)

    def files(self, answer: Drawing) -> dict[str, bytes]:
        return {
            f"{answer.seed}-{place:02}.png": png_bytes(picture)
            for place, picture in enumerate(answer.pictures)
        }

    def with_judge(
        self, parts: DecoderParts, *, seed: int, shown: Catalog | None = None, show: bool = False
    ) -> Self:
        """With a network trained on the catalogue's real pictures."""
        from unimp.tasks.image_generation.picture_judge import PictureJudge

        assert parts.tokenizer is not None
        task = copy(self)
        task.judge = PictureJudge.of(shown or self.context.catalog, parts.tokenizer, seed=seed, show=show)
        return task

    def judge_facts(self) -> dict[str, float]:
        return {} if self.judge is None else self.judge.facts()

    def judge_note(self) -> str | None:
        return None if self.judge is None else self.judge.note()

    def references(self, parts: DecoderParts) -> Mapping[str, Imaginer]:
        """The same model without the history, and the real picture that suits the words best."""
        from unimp.tasks.image_generation.references import NearestPicture, NonPersonal

        if self.judge is None:
            return {}
        return {
            "without history": NonPersonal(parts.decoder(self)),
            "nearest real picture": NearestPicture.fit(self.context.catalog, self.judge.pixels),
        }

    def score(
        self, method: Imaginer, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """What a network trained on real pictures reads from generated ones, and its features' distance."""
        if self.judge is None:
            raise ConfigError(f"{self.name}: generated pictures need a judge; make one by `with_judge`")
        return self.judge.score(self.guidance, method, cases)


def without_query(task: RecommendationTask, histories: Histories, user: int, query: Query) -> UserSentence:
    """Recommendation's sentence: it has no place for the query."""
    return task.question(histories, user)
