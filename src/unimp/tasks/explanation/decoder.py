"""Explanations: the rating first, then its words by beam search that cannot loop or invent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from unimp.answer import ExplainedRating
from unimp.core.config import Config
from unimp.core.products import matrix_vector
from unimp.core.progress import progress_bar
from unimp.data.histories import Histories, IntArray
from unimp.inference.continuation import Check, Continuation, nothing_to_check
from unimp.inference.decoder import Decoder
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.retrieval import ModelRanker
from unimp.inference.score_sources import ScoreSources
from unimp.inference.second_stage import Reason
from unimp.model.inputs import ItemState
from unimp.sentence.vocabulary import END
from unimp.tasks.explanation.consensus import Consensus
from unimp.tasks.explanation.facts import Facts
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.rating.decoder import ModelRater

NO_REPEAT = 3
"""No run of so many tokens is said twice."""
SHORTEST, LONGEST = 4, 40
"""Fewest and most tokens."""
OPTIONS = 64
"""Continuations of each beam that are looked at; most do not survive what is untrue."""
MINUS_INFINITY = float("-inf")


class SpeakingConfig(Config):
    """How explanations are worded."""

    beams: int = Field(4, ge=1)
    """Texts that are followed at a time."""
    length_power: float = Field(1.2, ge=0)
    """A text's log-probability is divided by its number of tokens to this power: higher, longer."""
    aspect_bonus: float = Field(2.0, ge=0)
    """What the logit of a word gains that begins an aspect of the item not named yet, times how often it is
    said of the item beside the aspect that is said most."""
    phrases: float = Field(0.1, ge=0, lt=1)
    """Share of what was said about the item before, as runs of tokens, in the next word's probability: the
    mixture of nearest-neighbour language models (Khandelwal et al. 2020)."""
    misled: float = Field(5.0, ge=0)
    """What the logit of a word loses that would most likely go on to name another item's aspect."""
    consensus: int = Field(0, ge=0)
    """Of the finished texts, take the one that agrees most (ROUGE-L) with so many sentences about the item
    and so many about any; 0: the likeliest text."""


@dataclass(frozen=True)
class Beam:
    """One text on the way."""

    tokens: tuple[int, ...] = ()
    score: float = 0.0
    """log p of its tokens."""

    def repeats(self, token: int) -> bool:
        """Whether one more token would say a run of NO_REPEAT tokens again."""
        run = (*self.tokens, token)[-NO_REPEAT:]
        return len(run) == NO_REPEAT and any(
            self.tokens[place : place + NO_REPEAT] == run for place in range(len(self.tokens) - NO_REPEAT + 1)
        )


@dataclass
class ModelExplainer(Decoder):
    """Says why an item suits a user (satisfies `Explainer`)."""

    rater: ModelRater
    task: ExplanationTask
    facts: Facts
    speaking: SpeakingConfig
    ranker: ModelRanker | None = None
    """Knows the relations of items and history; None for a run that does not recommend."""
    batch: int = 32
    show: bool = False
    check: Check = nothing_to_check
    """Called after the rating and before every token; what it raises ends the work."""
    cache: PrefixCache | None = None

    def with_items(self, state: ItemState, sources: ScoreSources) -> Self:
        ranker = None if self.ranker is None else self.ranker.with_items(state, sources)
        return replace(self, rater=self.rater.with_items(state, sources), ranker=ranker)

    def with_prefixes(self, cache: PrefixCache) -> Self:
        ranker = None if self.ranker is None else self.ranker.with_prefixes(cache)
        return replace(self, rater=self.rater.with_prefixes(cache), ranker=ranker, cache=cache)

    def reasons(self, history: Histories, item_row: int) -> list[Reason]:
        """What ties the item to one user's history, strongest first."""
        return [] if self.ranker is None else self.ranker.reasons(history, item_row)

    def explain(self, histories: Histories, item_rows: IntArray) -> list[ExplainedRating]:
        answers: list[ExplainedRating] = []
        with progress_bar("explaining", len(item_rows), show=self.show) as bar:
            for start in range(0, len(item_rows), self.batch):
                rows = item_rows[start : start + self.batch]
                answers += self._explain(histories.slice(start, start + self.batch), rows)
                bar.advance(len(rows))
        return answers

    def _explain(self, histories: Histories, item_rows: IntArray) -> list[ExplainedRating]:
        rater = self.rater
        distribution = rater.distribution(histories, item_rows)
        means = matrix_vector(distribution, rater.levels)
        likely = rater.levels[distribution.argmax(axis=1)]
        rows = item_rows.tolist()
        self.check()
        sentences = [
            rater.encoder.encode(self.task.question(histories, user, row, float(likely[user])))
            for user, row in enumerate(rows)
        ]
        with torch.inference_mode():
            users = histories.user_ids.tolist()
            going = Continuation(rater.model, rater.state, sentences, LONGEST, self.cache, users)
            texts = self.write(going, rows)
        return [ExplainedRating(text, float(mean)) for text, mean in zip(texts, means.tolist(), strict=True)]

    @cached_property
    def consensus(self) -> Consensus | None:
        return Consensus(self.task.context, self.speaking.consensus) if self.speaking.consensus else None

    def chosen(self, finished: list[tuple[float, str]], row: int) -> str:
        """The likeliest of the finished texts about an item, or the one that agrees most; "" for none."""
        if not finished:
            return ""
        return max(finished)[1] if self.consensus is None else self.consensus.best(finished, row)

    def write(self, going: Continuation, rows: list[int]) -> list[str]:
        """The best finished text of each sentence; the best unfinished one where none was finished."""
        beams = [[Beam()] for _ in rows]
        finished: list[list[tuple[float, str]]] = [[] for _ in rows]
        owners = list(range(len(rows)))
        while owners:
            self.check()
            texts = [beam for user in dict.fromkeys(owners) for beam in beams[user]]
            scores, tokens = self.best_tokens(going.hidden_BD, [rows[user] for user in owners], texts)
            parents: list[int] = []
            place = 0
            for user in dict.fromkeys(owners):
                stop = place + len(beams[user])
                self.grow(
                    beams, finished, rows, user, (scores[place:stop], tokens[place:stop]), parents, place
                )
                place = stop
            owners = [user for user in dict.fromkeys(owners) for _ in beams[user]]
            if owners:
                device = going.hidden_BD.device
                going.keep(torch.tensor(parents, device=device))
                latest = [beam.tokens[-1] for user in dict.fromkeys(owners) for beam in beams[user]]
                going.step(torch.tensor(latest, device=device)[:, None])
        return [self.chosen(done, row) for done, row in zip(finished, rows, strict=True)]

    def best_tokens(
        self, hidden_BD: Tensor, rows: list[int], texts: list[Beam]
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Per beam, each about one of `rows`, log-probabilities and tokens of the likeliest continuations."""
        vocabulary, model = self.rater.encoder.vocabulary, self.rater.model
        first, stop, end = vocabulary.first_word, vocabulary.first_code, vocabulary.markers[END]
        words = model.token_logits(hidden_BD, first, stop)
        logits = torch.cat((words, model.token_logits(hidden_BD, end, end + 1)), dim=1)
        for turn, (row, text) in enumerate(zip(rows, texts, strict=True)):
            foreign, own = self.facts.beginnings(row)
            logits[turn, [token - first for token in foreign]] -= self.speaking.misled
            fresh = {token - first: share for token, share in own.items() if token not in text.tokens}
            bonus = self.speaking.aspect_bonus * torch.tensor(list(fresh.values()), dtype=logits.dtype)
            logits[turn, list(fresh)] += bonus.to(logits.device)
        p = self.with_phrases(torch.softmax(logits, dim=-1), rows, texts)
        best = p.log().topk(min(OPTIONS, logits.shape[1]), dim=1)
        tokens = torch.where(best.indices == stop - first, end, best.indices + first)
        return best.values.tolist(), tokens.tolist()

    def with_phrases(self, p: Tensor, rows: list[int], texts: list[Beam]) -> Tensor:
        """[B, W] next-word probabilities, mixed with what followed the same words about the item before."""
        vocabulary, share = self.rater.encoder.vocabulary, self.speaking.phrases
        first, stop = vocabulary.first_word, vocabulary.first_code
        if not share:
            return p
        for turn, (row, text) in enumerate(zip(rows, texts, strict=True)):
            said = self.facts.phrases.next(row, text.tokens)
            if said:
                columns = [token - first if token >= first else stop - first for token in said]
                p[turn] *= 1.0 - share
                p[turn, columns] += share * torch.tensor(list(said.values()), device=p.device)
        return p

    def grow(
        self,
        beams: list[list[Beam]],
        finished: list[list[tuple[float, str]]],
        rows: list[int],
        user: int,
        options: tuple[list[list[float]], list[list[int]]],
        parents: list[int],
        place: int,
    ) -> None:
        """One step of one user: its beams grow, ended ones go to `finished`, `parents` says from which."""
        end = self.rater.encoder.vocabulary.markers[END]
        grown = sorted(
            (
                (beam.score + score, turn, token)
                for turn, beam in enumerate(beams[user])
                for score, token in zip(options[0][turn], options[1][turn], strict=True)
            ),
            key=lambda option: -option[0],
        )
        kept: list[Beam] = []
        for score, turn, token in grown:
            beam = beams[user][turn]
            if len(kept) == self.speaking.beams or score == MINUS_INFINITY:
                break
            if beam.repeats(token) or self.facts.untrue(beam.tokens, token, rows[user]):
                continue
            if token != end:
                kept.append(Beam((*beam.tokens, token), score))
                parents.append(place + turn)
            elif len(beam.tokens) >= SHORTEST:
                self.finish(finished[user], beam, score)
        last = kept and len(kept[0].tokens) == LONGEST
        if (last or not kept) and not finished[user]:
            self.cut_short(finished[user], kept or beams[user], rows[user])
        if last or len(finished[user]) >= self.speaking.beams:
            del parents[len(parents) - len(kept) :]
            kept = []
        beams[user] = kept

    def cut_short(self, finished: list[tuple[float, str]], beams: list[Beam], row: int) -> None:
        """No text came to an end: the best one up to its last whole word, if what it says is so."""
        vocabulary = self.rater.encoder.vocabulary
        for beam in sorted(beams, key=lambda beam: -beam.score):
            tokens = list(beam.tokens)
            while tokens and self.facts.untrue(tuple(tokens), vocabulary.markers[END], row):
                while not vocabulary.begins_word(tokens.pop()) and tokens:
                    pass
            if len(tokens) >= SHORTEST:
                self.finish(finished, Beam(tuple(tokens)), beam.score)
                return

    def finish(self, finished: list[tuple[float, str]], beam: Beam, score: float) -> None:
        text = self.facts.truecase.spelled(self.rater.encoder.vocabulary.text(beam.tokens))
        finished.append((score / len(beam.tokens) ** self.speaking.length_power, text))
