"""Explanations without a model: the most frequent sentence, a template, one fetched for item and user, and
the one about the item that agrees most with the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from unimp.answer import ExplainedRating
from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.data.review_sentences import tokens_of
from unimp.data.reviews import AspectLexicon, named_aspects, pick_sentence, reviews_of
from unimp.features.item_graph import ItemGraph, cosine_graph
from unimp.features.text import TermWeights
from unimp.tasks.explanation.consensus import agreement, drawn, words_of
from unimp.tasks.rating.references import BiasModel

COMPARED = 30
"""Latest sentences about an item that one of them is chosen from, and among which it must agree."""


@dataclass(frozen=True)
class Sentences:
    """The S explanation sentences of some histories, in the order of their events."""

    users: IntArray
    """[S] positions in the histories."""
    item_rows: IntArray
    """[S]."""
    ratings: FloatArray
    """[S] NaN where there is none."""
    texts: tuple[str, ...]
    """[S]."""

    @classmethod
    def of(cls, histories: Histories, events: pl.DataFrame, lexicon: AspectLexicon) -> Sentences:
        """Those that `pick_sentence` finds in the reviews of `histories`; `events` is the whole table."""
        reviews = reviews_of(histories, events)
        picks = [
            pick_sentence(text, summary, lexicon)
            for text, summary in zip(reviews.texts, reviews.summaries, strict=True)
        ]
        kept = np.array([place for place, pick in enumerate(picks) if pick is not None], dtype=np.int64)
        texts = tuple(pick for pick in picks if pick is not None)
        return cls(reviews.users[kept], reviews.item_rows[kept], reviews.ratings[kept], texts)

    @property
    def most_frequent(self) -> str:
        """The earliest of equals; empty when there is no sentence."""
        return Counter(self.texts).most_common(1)[0][0] if self.texts else ""


@dataclass(frozen=True)
class FrequentSentence:
    """The most frequent training sentence for everyone, with the rating of the biases."""

    sentence: str
    rater: BiasModel

    @classmethod
    def fit(cls, train: Histories, events: pl.DataFrame, lexicon: AspectLexicon) -> FrequentSentence:
        return cls(Sentences.of(train, events, lexicon).most_frequent, BiasModel.fit(train))

    def explain(self, histories: Histories, item_rows: IntArray) -> list[ExplainedRating]:
        """See `Explainer`."""
        ratings = self.rater.rate(histories, item_rows)
        return [ExplainedRating(self.sentence, rating) for rating in ratings.tolist()]


@dataclass(frozen=True)
class TemplateSentence:
    """A fixed sentence with the two aspects that training sentences name most often of the item."""

    aspects: Mapping[int, tuple[str, ...]]
    """Item row -> its aspects, the most often named first, of equals in the order of letters."""
    otherwise: FrequentSentence
    """Answers for items of which nothing is known."""

    @classmethod
    def fit(cls, train: Histories, events: pl.DataFrame, lexicon: AspectLexicon) -> TemplateSentence:
        counts: dict[int, Counter[str]] = defaultdict(Counter)
        sentences = Sentences.of(train, events, lexicon)
        for row, text in zip(sentences.item_rows.tolist(), sentences.texts, strict=True):
            counts[row].update(named_aspects(text, lexicon))
        ordered = {
            row: tuple(sorted(count, key=lambda name: (-count[name], name))) for row, count in counts.items()
        }
        return cls(ordered, FrequentSentence(sentences.most_frequent, BiasModel.fit(train)))

    def explain(self, histories: Histories, item_rows: IntArray) -> list[ExplainedRating]:
        """See `Explainer`."""
        answers = self.otherwise.explain(histories, item_rows)
        for place, row in enumerate(item_rows.tolist()):
            named = self.aspects.get(row, ())[:2]
            if named:
                answers[place] = ExplainedRating(
                    f"I like the {' and the '.join(named)}.", answers[place].rating
                )
        return answers


def sentence_weights(texts: tuple[str, ...]) -> TermWeights:
    """TF-IDF of sentences; counts one document more, so that a word in all of them weighs a little."""
    counts = Counter(word for text in texts for word in set(tokens_of(text)))
    words = sorted(counts)
    idf = np.log((1.0 + len(texts)) / np.array([counts[word] for word in words], dtype=np.float64))
    return TermWeights({word: column for column, word in enumerate(words)}, idf.astype(np.float32))


def sentence_vectors(weighting: TermWeights, texts: tuple[str, ...]) -> Any:
    """[len(texts), words] CSR rows of length 1, or empty."""
    return weighting.unit([tokens_of(text) for text in texts])


@dataclass(frozen=True)
class RetrievedSentence:
    """The training sentence about the item that is most like what the user wrote before.

    Likeness is the mean TF-IDF cosine with the sentences of the user's history; equals go by how near their
    rating is to the forecast of the biases, then by age. An item that nobody wrote about takes a sentence of
    the item most often met together with it (cosine), else the most frequent one of all.
    """

    sentences: Sentences
    by_item: dict[int, list[int]] = field(repr=False)
    """Item row -> its sentences."""
    weighting: TermWeights = field(repr=False)
    vectors: Any = field(repr=False)
    """[S, words] CSR."""
    neighbours: ItemGraph = field(repr=False)
    rater: BiasModel
    events: pl.DataFrame = field(repr=False)
    lexicon: AspectLexicon = field(repr=False)

    @classmethod
    def fit(
        cls, train: Histories, events: pl.DataFrame, lexicon: AspectLexicon, num_items: int
    ) -> RetrievedSentence:
        sentences = Sentences.of(train, events, lexicon)
        by_item: dict[int, list[int]] = defaultdict(list)
        for place, row in enumerate(sentences.item_rows.tolist()):
            by_item[row].append(place)
        weighting = sentence_weights(sentences.texts)
        return cls(
            sentences,
            dict(by_item),
            weighting,
            sentence_vectors(weighting, sentences.texts),
            cosine_graph(train, num_items, neighbours=50),
            BiasModel.fit(train),
            events,
            lexicon,
        )

    def explain(self, histories: Histories, item_rows: IntArray) -> list[ExplainedRating]:
        """See `Explainer`."""
        ratings = self.rater.rate(histories, item_rows)
        written = Sentences.of(histories, self.events, self.lexicon)
        vectors = sentence_vectors(self.weighting, written.texts)
        starts = np.searchsorted(written.users, np.arange(len(histories) + 1))
        answers = []
        for user, (row, rating) in enumerate(zip(item_rows.tolist(), ratings.tolist(), strict=True)):
            places = self.about(row)
            if not places:
                answers.append(ExplainedRating(self.sentences.most_frequent, rating))
                continue
            own = np.asarray(vectors[starts[user] : starts[user + 1]].sum(axis=0)).ravel()
            likeness = self.vectors[places] @ own
            apart = np.abs(np.nan_to_num(self.sentences.ratings[places], nan=rating) - rating)
            best = np.lexsort((places, apart, -np.round(likeness, 6)))[0]
            answers.append(ExplainedRating(self.sentences.texts[places[best]], rating))
        return answers

    def about(self, item_row: int) -> list[int]:
        """The sentences about an item, else about the nearest item that has some."""
        if item_row in self.by_item or not 0 <= item_row < self.neighbours.num_items:
            return self.by_item.get(item_row, [])
        near = self.neighbours.weights[[item_row]].tocoo()
        for place in np.argsort(-near.data, kind="stable"):
            if int(near.col[place]) in self.by_item:
                return self.by_item[int(near.col[place])]
        return []


@dataclass(frozen=True)
class AgreedSentence:
    """The training sentence about the item that agrees most with the others about it and with any item's.

    What `speaking.consensus` does with a model's texts, done with what others wrote: the mean ROUGE-L with
    the latest `COMPARED` sentences about the item and as many about any. Which sentences an item has, and
    what one that nobody wrote about does, is as in `RetrievedSentence`.
    """

    fetched: RetrievedSentence
    _chosen: dict[int, str] = field(default_factory=dict, repr=False)
    """Item row -> its sentence, once found."""

    @classmethod
    def fit(
        cls, train: Histories, events: pl.DataFrame, lexicon: AspectLexicon, num_items: int
    ) -> AgreedSentence:
        return cls(RetrievedSentence.fit(train, events, lexicon, num_items))

    def explain(self, histories: Histories, item_rows: IntArray) -> list[ExplainedRating]:
        """See `Explainer`."""
        ratings = self.fetched.rater.rate(histories, item_rows).tolist()
        return [
            ExplainedRating(self.about(row), rating)
            for row, rating in zip(item_rows.tolist(), ratings, strict=True)
        ]

    @cached_property
    def of_any_item(self) -> list[list[str]]:
        """Words of the sentences that stand for what is said of anything, drawn once."""
        return drawn(self.fetched.sentences.texts, COMPARED)

    def about(self, item_row: int) -> str:
        """Of equals the earliest; the most frequent sentence of all where there is none."""
        if item_row not in self._chosen:
            sentences = self.fetched.sentences
            texts = [sentences.texts[place] for place in self.fetched.about(item_row)[-COMPARED:]]
            known = [words_of(text) for text in texts] + self.of_any_item
            best = max(texts, key=lambda text: agreement(words_of(text), known), default=None)
            self._chosen[item_row] = sentences.most_frequent if best is None else best
        return self._chosen[item_row]
