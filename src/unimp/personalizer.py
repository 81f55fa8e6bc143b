"""`Personalizer`: a trained run, ready to answer. The public face of the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from unimp.core.errors import ConfigError, DataError, did_you_mean
from unimp.data.histories import FloatArray, Histories
from unimp.data.nearest import NearestId
from unimp.data.pictures import PixelArray, fit_pixels, open_picture, read_upload
from unimp.data.upserts import Fetch, NewItem
from unimp.inference.item_index import ItemIndex
from unimp.runs.answerer import Answerer
from unimp.runs.open_run import TrainedRun, open_run
from unimp.runs.updates import check_offered, first_index, removed, upserted, with_catalog
from unimp.tasks.explanation.schema import ExplainRequest, Explanation
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.image_generation.schema import Drawing, ImageRequest
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.rating.schema import RateRequest, RatingForecast
from unimp.tasks.rating.task import RatingTask
from unimp.tasks.recommendation.schema import Recommendation, RecommendRequest
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.requests import PictureFile, TaskRequest
from unimp.tasks.search.schema import SearchRequest, SearchResult
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection.schema import Selection, SelectRequest
from unimp.tasks.selection.task import SelectionTask
from unimp.tasks.task import AnyTask, Task, TaskAnswer

RequestT = TypeVar("RequestT", bound=TaskRequest)
AnswerT = TypeVar("AnswerT", bound=TaskAnswer)


@dataclass(frozen=True)
class Personalizer:
    """Answers for any user: one of the data (`user=`), or any `history=` of item ids, oldest first.

    Every method raises DataError for an unknown item or user, ConfigError for a request that cannot be
    answered; an empty history is a cold start, and the answer says so.
    """

    run: TrainedRun
    answerer: Answerer
    index: ItemIndex | None = field(default=None, kw_only=True, repr=False)
    """The items, since the first change of the catalogue; None: those of training."""

    def __repr__(self) -> str:
        """One line: a run's tensors would fill a notebook."""
        items, tasks = len(self.run.dataset.catalog), ", ".join(self.tasks)
        return f"Personalizer({str(self.run.folder)!r}, {items:,} items, tasks: {tasks})"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks this checkpoint was trained for."""
        return self.run.artifacts.recipe.tasks

    def task(self, name: str) -> AnyTask:
        """One of the checkpoint's tasks, by its name or that of its command."""
        names: dict[str, AnyTask] = {}
        for task in self.answerer.parts.tasks:
            names |= dict.fromkeys((task.name, task.command, *task.aliases), task)
        if name not in names:
            raise ConfigError(
                f"this checkpoint has no task {name!r}{did_you_mean(name, names)}; "
                f"it has: {', '.join(self.tasks)}"
            )
        return names[name]

    def upsert_items(self, items: Sequence[NewItem], *, in_place: bool = False) -> Self:
        """A personalizer with these items inserted, or replaced; this one goes on answering without them.

        A new item is answered with by its content alone, without training. DataError for an attribute that
        the data do not have. `in_place`: replace without a copy of the tables; then this one, and all
        that was made of it, must not be used any more.
        """
        return self._over(*upserted(self.run, self._index, items, in_place=in_place))

    def remove_items(self, item_ids: Sequence[str]) -> Self:
        """A personalizer that never recommends, finds or selects these items; histories may still hold them.

        DataError for an unknown item, and from then on for a request that names a removed one. Upserting an
        item brings it back.
        """
        return self._over(self.run, removed(self.run, self._index, item_ids))

    def with_fetch(self, fetch: Fetch) -> Self:
        """The personalizer that reads the picture files of upserted items with `fetch`."""
        run = with_catalog(self.run, self.run.dataset.catalog.with_fetch(fetch))
        return self._over(run, self._index)

    @property
    def _index(self) -> ItemIndex:
        return self.index or first_index(self.run, self.answerer)

    def _over(self, run: TrainedRun, index: ItemIndex) -> Self:
        answerer = run.artifacts.answerer(run.model, run.weights_by_task, index=index)
        answerer = replace(answerer, exclude_history=self.answerer.exclude_history)
        return replace(self, run=run, answerer=answerer, index=index)

    def item_pixels(self, picture: bytes, item_id: str) -> PixelArray | None:
        """An item's picture at the model's size, for `NewItem`; None for a model that reads no pictures."""
        return self.model_pixels(picture, f'item "{item_id}"')

    def model_pixels(self, picture: bytes, place: str) -> PixelArray | None:
        """A picture file at the model's size; None for a model that reads none. `place`: for errors."""
        artifacts = self.run.artifacts
        if artifacts.visual_width is None:
            return None
        return fit_pixels(open_picture(picture, place), *artifacts.picture_size)

    def score(self, histories: Histories) -> FloatArray:
        """[U, num_items] scores of every item (satisfies `Ranker`)."""
        return self.answerer.decoder(RecommendationTask).score(histories)

    def recommend(
        self,
        history: Sequence[str] | None = None,
        *,
        user: str | None = None,
        k: int = 10,
        exclude_history: bool | None = None,
    ) -> Recommendation:
        """The k best next items, from the whole catalogue, in falling order of score."""
        fields: dict[str, Any] = {
            "history": history,
            "user": user,
            "k": k,
            "exclude_history": exclude_history,
        }
        return self._answer(RecommendationTask, RecommendRequest.parse(fields))

    def search(
        self,
        text: str = "",
        picture: PictureFile | None = None,
        *,
        history: Sequence[str] | None = None,
        user: str | None = None,
        k: int = 10,
        exclude_history: bool | None = None,
    ) -> SearchResult:
        """The k items that answer words, a picture, or both, in this user's taste.

        A picture alone that is one of the catalogue's brings its own item first, like items after it.
        """
        fields: dict[str, Any] = {"text": text, "picture": picture, "history": history, "user": user}
        fields |= {"k": k, "exclude_history": exclude_history}
        return self._answer(SearchTask, SearchRequest.parse(fields))

    def rate(
        self, item: str, *, history: Sequence[str] | None = None, user: str | None = None
    ) -> RatingForecast:
        """The rating that the user is expected to give the item: mean and distribution."""
        return self._answer(RatingTask, RateRequest.parse({"item": item, "history": history, "user": user}))

    def explain(
        self, item: str, *, history: Sequence[str] | None = None, user: str | None = None
    ) -> Explanation:
        """Why the item suits the user, in words, with the rating as a number."""
        fields = {"item": item, "history": history, "user": user}
        return self._answer(ExplanationTask, ExplainRequest.parse(fields))

    def select(
        self,
        candidates: Sequence[str],
        *,
        count: int | None = 1,
        history: Sequence[str] | None = None,
        user: str | None = None,
    ) -> Selection:
        """The `count` candidates that suit the user best; None lets the model say how many.

        The order of the candidates does not matter; one that is named twice is one candidate.
        """
        fields = {"candidates": tuple(candidates), "count": count, "history": history, "user": user}
        return self._answer(SelectionTask, SelectRequest.parse(fields))

    def generate_image(
        self,
        text: str = "",
        *,
        attributes: dict[str, str] | None = None,
        count: int = 1,
        seed: int = 0,
        temperature: float | None = None,
        top_p: float | None = None,
        history: Sequence[str] | None = None,
        user: str | None = None,
    ) -> Drawing:
        """Pictures of what words and attributes ask for, in the user's taste, drawn by seed."""
        fields: dict[str, Any] = {"text": text, "attributes": attributes, "count": count, "seed": seed}
        fields |= {"temperature": temperature, "top_p": top_p, "history": history, "user": user}
        return self._answer(ImageGenerationTask, ImageRequest.parse(fields))

    imagine = generate_image

    def ask(self, task: str, **fields: Any) -> Any:
        """The answer of a task, named by itself or its command, to a request with these fields.

        For tasks of other packages: `p.ask("substitute", item="P00003", user="U00001")`.
        """
        return self.answer(self.task(task).Request.parse(fields))

    def answer(self, request: TaskRequest) -> Any:
        """The answer to a typed request; its class is the `Answer` of the request's task."""
        return self._answer_all(self.answerer.task_for(request), [request])[0]

    def _answer(self, kind: type[Task[RequestT, AnswerT, Any, Any]], request: RequestT) -> AnswerT:
        return self._answer_all(self.answerer.task(kind), [request])[0]

    def check(self, task: AnyTask, request: TaskRequest) -> None:
        """DataError or ConfigError when the request cannot be answered; no work is done."""
        task.check(request)
        check_offered(self.run, self.index, request.item_ids)

    def _answer_all(
        self, task: Task[RequestT, AnswerT, Any, Any], requests: Sequence[RequestT]
    ) -> list[AnswerT]:
        """[U] answers to requests of one task, in one call of the model."""
        for request in requests:
            self.check(task, request)
        histories = self.histories_of(requests)
        return self.answerer.answer(task, histories, requests, [self.pixels(request) for request in requests])

    def answer_all(self, requests: Sequence[TaskRequest]) -> list[Any]:
        """[U] answers to requests of one class, in one call of the model."""
        return self._answer_all(self.answerer.task_for(requests[0]), requests) if requests else []

    def pixels(self, request: TaskRequest) -> PixelArray | None:
        """The picture that the request shows, at the size that the model reads."""
        if request.shown_picture is None:
            return None
        return fit_pixels(read_upload(request.shown_picture), *self.run.artifacts.picture_size)

    def histories_of(self, requests: Sequence[TaskRequest]) -> Histories:
        """[U] the given histories, or those of users of the data; both missing is a cold start."""
        if len(requests) == 1:
            return self.histories(requests[0].history, requests[0].user)
        if all(request.user is not None for request in requests):
            return self._histories_of_users([request.user or "" for request in requests])
        return Histories.concatenate([self.histories(request.history, request.user) for request in requests])

    def histories(self, history: Sequence[str] | None, user: str | None) -> Histories:
        """One user's history: the given one, or that of a user of the data; both missing is a cold start."""
        if history is not None and user is not None:
            raise ConfigError("give either a user or a history, not both")
        if user is not None:
            return self._histories_of_users([user])
        return Histories.from_lists([self.run.dataset.catalog.rows(list(history or ()))])

    def _histories_of_users(self, users: Sequence[str]) -> Histories:
        interactions = self.run.dataset.interactions
        positions = [interactions.user_position.get(user) for user in users]
        for user, position in zip(users, positions, strict=True):
            if position is None:
                known = len(interactions.histories)
                near = NearestId(interactions.user_position).find(user)
                hint = "check the id, or give a history" if near is None else f'it has "{near}"'
                raise DataError(f'unknown user "{user}" (the data has {known:,}); {hint}')
        return interactions.histories.select([position for position in positions if position is not None])


def load(run: Path | str, *, data: Path | str | None = None, device: str = "auto") -> Personalizer:
    """Open a trained run folder; `data` names the data folder when it has moved since."""
    opened = open_run(run, data=data, device=device)
    return Personalizer(opened, opened.answerer)
