"""Multi-modal selection: of these candidates with their pictures, which one (or ones) suit the user?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from unimp.answer import Selector
from unimp.data.histories import Cases, Histories, IntArray
from unimp.metrics.selection import selection_metrics
from unimp.sentence.parts import Role, UserSentence
from unimp.sentence.template import events_of
from unimp.tasks.ranking import bar, history_ids
from unimp.tasks.selection.schema import ANSWER_EXAMPLE, Candidate, Selection, SelectRequest
from unimp.tasks.task import Task, TaskScore
from unimp.tasks.windows import Window, cut_windows

if TYPE_CHECKING:
    import polars as pl

    from unimp.fusion.structure import StructureConfig
    from unimp.fusion.weights import FittedWeights
    from unimp.tasks.decoding import DecoderParts
    from unimp.tasks.selection.decoder import ModelSelector

CHOICE_SHARE = 0.15
"""Share of a history's events that are chosen among candidates while training; the latest always is."""
SIZES = (2, 10)
"""Fewest and most candidates of a training choice."""
BESIDES = 4
"""Pictures of the history that an answer sees beside all candidates'."""
JUDGED = 5
"""Candidates of a held-out choice."""
SEVERAL, OF = 2, 10
"""Of the choice of several: the two latest items among ten."""


@dataclass(frozen=True)
class Choices:
    """N held-out choices."""

    histories: Histories
    candidates: list[IntArray]
    """[N] item rows, shuffled."""
    places: list[IntArray]
    """[N] where the right ones stand."""


class SelectionTask(Task[SelectRequest, Selection, "ModelSelector", Selector]):
    """Candidates are items of the sentence, in random order; the answer is made of them, then the end.

    An answer token scores the candidates' vectors, so any number of them can stand in any order.
    """

    name = "selection"
    command = "select"
    summary = "Choose among candidates."
    words = "choose among the candidates"
    headline = "accuracy"
    Request = SelectRequest
    Answer = Selection
    answer_example = ANSWER_EXAMPLE
    chooses_items = True

    def windows(self, histories: Histories, max_items: int, rng: np.random.Generator) -> list[Window]:
        return cut_windows(histories, max_items, rng, draws=True)

    def sentence(self, histories: Histories, window: Window) -> UserSentence:
        rng = np.random.default_rng(window.draw)
        events = events_of(histories, window.user, window.start, window.stop)
        known = histories.items_of(window.user)
        rows = [event.item_row for event in events]
        writer = self.template.begin(self.words)
        place = 0
        while place < len(rows):
            last = place == len(rows) - 1
            if not last and rng.random() >= CHOICE_SHARE:
                writer.item(rows[place])
                place += 1
                continue
            several = 1 + int(place + 2 <= len(rows) and rng.random() < 0.25)
            right = list(dict.fromkeys(rows[place : place + several]))
            count = int(rng.integers(SIZES[0], SIZES[1] + 1))
            count, hard = max(count, len(right) + 1), rng.random() < 0.5
            candidates = self.candidates(right, known, count, hard, rng, self.sold)
            for row in candidates.tolist():
                writer.item(row, Role.SHOWN)
            writer.answer(len(candidates) + BESIDES).choice(candidates.tolist(), right)
            for row in right if place + several < len(rows) else []:
                writer.item(row, Role.SHOWN)  # the history goes on with what was chosen
            place += several
        return writer.done()

    @cached_property
    def sold(self) -> IntArray:
        """Rows that training knows. A training choice among others too would teach that what is new is
        always wrong: it is never the right one."""
        return np.unique(self.context.train.item_rows)

    @cached_property
    def everything(self) -> IntArray:
        return np.arange(len(self.context.catalog))

    def candidates(
        self,
        right: Sequence[int],
        known: IntArray,
        count: int,
        hard: bool,
        rng: np.random.Generator,
        among: IntArray,
    ) -> IntArray:
        """`right` and others of `among` that the user never met, in random order.

        `hard`: of the same category, as far as there are any.
        """
        taken = set(known.tolist()) | set(right)
        others: list[int] = []
        if hard:
            alike = np.intersect1d(self.context.queries.likes_of(right[0]), among, assume_unique=True)
            order = rng.permutation(len(alike))[: 4 * count + 16]
            others = [row for row in alike[order].tolist() if row not in taken][: count - len(right)]
            taken |= set(others)
        tries = 0
        while len(right) + len(others) < count and tries < 50:
            drawn = among[rng.integers(len(among), size=count)].tolist()
            fresh = [row for row in dict.fromkeys(drawn) if row not in taken]
            others += fresh[: count - len(right) - len(others)]
            taken |= set(others)
            tries += 1
        rows = np.array([*right, *others], dtype=np.int64)
        return rows[rng.permutation(len(rows))]

    def question(
        self, histories: Histories, user: int, candidates: Sequence[int], chosen: Sequence[int] = ()
    ) -> UserSentence:
        """The history, the candidates, and what was chosen of them already."""
        writer = self.template.history(events_of(histories, user), self.words)
        for row in candidates:
            writer.item(row, Role.SHOWN)
        return writer.answer(len(candidates) + BESIDES).choice(candidates, chosen, complete=False).done()

    def choices(self, cases: Cases, *, hard: bool = False, several: bool = False) -> Choices:
        """Held-out choices, always the same for the same held-out event.

        `several`: the two latest items are to be found, and the history ends before both.
        """
        histories = cases.histories.first(-1) if several else cases.histories
        candidates, places = [], []
        for case, target in enumerate(cases.target_rows.tolist()):
            known = cases.histories.items_of(case)
            right = [*known[-1:].tolist(), target] if several else [target]
            rng = np.random.default_rng([13, int(hard), int(several), max(int(cases.target_events[case]), 0)])
            wanted = list(dict.fromkeys(right))
            size = OF if several else JUDGED
            rows = self.candidates(wanted, known, size, hard, rng, self.everything)
            candidates.append(rows)
            places.append(np.flatnonzero(np.isin(rows, right)))
        return Choices(histories, candidates, places)

    def decoder(self, parts: DecoderParts) -> ModelSelector:
        from unimp.tasks.selection.decoder import ModelSelector

        return ModelSelector(
            parts.model, parts.state, parts.encoder, self, parts.sources, parts.weights(self)
        )

    def answer(
        self,
        decoder: ModelSelector,
        histories: Histories,
        requests: Sequence[SelectRequest],
        picture_rows: Sequence[int] = (),
    ) -> list[Selection]:
        catalog = self.context.catalog
        given = [catalog.rows(list(request.candidates)) for request in requests]
        # In the catalogue's order, whatever the order given: the answer cannot depend on it.
        rows = [np.array(sorted(candidates), dtype=np.int64) for candidates in given]
        places = decoder.select(histories, rows, [request.count or 0 for request in requests])
        shares = decoder.probabilities(histories, rows)
        answers = []
        for user, history in enumerate(history_ids(catalog, histories)):
            share_of = dict(zip(rows[user].tolist(), shares[user].tolist(), strict=False))
            chosen = [catalog.item_ids[row] for row in rows[user][places[user]].tolist()]
            candidates = tuple(
                Candidate(item_id, catalog.label(row), share_of[row], item_id in chosen)
                for item_id, row in zip(requests[user].candidates, given[user], strict=True)
            )
            answers.append(Selection(candidates, tuple(chosen), history, not history))
        return answers

    def columns(self, answers: Sequence[Selection]) -> list[pl.Series]:
        """The candidates, the chosen ones, best first, and every candidate's probability."""
        import polars as pl

        ids = [[candidate.item_id for candidate in answer.candidates] for answer in answers]
        shares = [[candidate.probability for candidate in answer.candidates] for answer in answers]
        return [
            pl.Series("candidates", ids, dtype=pl.List(pl.String)),
            pl.Series("chosen", [list(answer.chosen) for answer in answers], dtype=pl.List(pl.String)),
            pl.Series("probabilities", shares, dtype=pl.List(pl.Float32)),
        ]

    def lines(self, answer: Selection) -> list[str]:
        return [
            f"{'→' if candidate.chosen else ' '} {candidate.item_id:>14}  {candidate.title:32.32} "
            f"{candidate.probability:6.1%} {bar(candidate.probability)}"
            for candidate in sorted(answer.candidates, key=lambda candidate: -candidate.probability)
        ]

    def fit_fusion(
        self, decoder: ModelSelector, valid: Cases, config: StructureConfig, *, exclude_history: bool = True
    ) -> FittedWeights:
        from unimp.tasks.selection.fitting import fit_selection

        return fit_selection(decoder, self, valid, config)

    def references(self, parts: DecoderParts) -> Mapping[str, Selector]:
        """Popularity, and likeness of the content that the model is given."""
        from unimp.tasks.selection.references import ContentSelector, PopularitySelector, content_of

        found: dict[str, Selector] = {"popularity": PopularitySelector.fit(self.context.train)}
        for name, block in content_of(parts.items).items():
            found[f"content ({name})"] = ContentSelector.of(block)
        return found

    def score(
        self, method: Selector, cases: Cases, *, exclude_history: bool = True, show: bool = False
    ) -> TaskScore:
        """Accuracy of one of five (others drawn evenly; `-hard`: of the same category), F1 of two of ten."""
        known = cases.select(np.flatnonzero(cases.target_rows >= 0))
        metrics: dict[str, float] = {}
        values = np.full(len(cases), np.nan)
        for label, hard in (("", False), ("-hard", True)):
            choices = self.choices(known, hard=hard)
            found = choose(method, choices)
            metrics[f"accuracy{label}"] = selection_metrics(found, choices.places)["accuracy"]
            if not hard:
                right = [
                    float(set(a.tolist()) == set(b.tolist()))
                    for a, b in zip(found, choices.places, strict=True)
                ]
                values[cases.target_rows >= 0] = right
        pairs = self.choices(known.select(np.flatnonzero(known.histories.lengths > 1)), several=True)
        several = selection_metrics(choose(method, pairs), pairs.places)
        metrics |= {f"{name}-two-of-ten": several[name] for name in ("precision", "recall", "F1")}
        return TaskScore(metrics, len(cases), len(cases) - len(known), values=values)


def choose(method: Selector, choices: Choices) -> list[IntArray]:
    """[N] the places that the method chooses, as many as are right."""
    return method.select(choices.histories, choices.candidates, [len(right) for right in choices.places])
