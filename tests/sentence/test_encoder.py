"""Words and values are one mechanism; a position predicts what the next one holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.sentence.test_template import CATALOG
from unimp.answer import Query
from unimp.core.errors import CheckpointError
from unimp.data.histories import FloatArray
from unimp.data.interactions import RatingScale
from unimp.features.text import fit_text
from unimp.sentence.encoder import Kind, SentenceEncoder
from unimp.sentence.parts import Role
from unimp.sentence.targets import Horizon
from unimp.sentence.template import HistoryEvent, SentenceConfig, Template
from unimp.sentence.training_batch import collate_with_targets
from unimp.sentence.vocabulary import MISSING, UNRATED, TokenizerConfig, Vocabulary, build_vocabulary


@pytest.fixture
def vocabulary() -> Vocabulary:
    return build_vocabulary(
        CATALOG, RatingScale(0.5, 5.0, 0.5), ["what next"], TokenizerConfig(min_frequency=1)
    )


def sentence_of(events: list[HistoryEvent], **config: object):  # type: ignore[no-untyped-def]
    template = Template(CATALOG, SentenceConfig.model_validate({"task_words": False, **config}))
    return template.history(events, "what next", Role.ANSWER).done()


def test_vocabulary_is_derived_saved_and_loaded(vocabulary: Vocabulary, tmp_path: Path) -> None:
    assert vocabulary.item_ids == ("a", "b")
    assert len(vocabulary.rating_levels) == 10
    assert vocabulary.rating(3.0) - vocabulary.first_rating == 5
    assert vocabulary.rating(None) == vocabulary.rating(float("nan")) == vocabulary.markers[UNRATED]
    vocabulary.save(tmp_path / "v.json")
    again = Vocabulary.load(tmp_path / "v.json")
    assert again.num_tokens == vocabulary.num_tokens
    for text in ("a very long red thing", "Never seen: żółw 東京!"):
        assert again.words(text) == vocabulary.words(text)
        assert again.text(again.words(text)) == text.lower()
    (tmp_path / "v.json").write_text("{")
    with pytest.raises(CheckpointError, match="vocabulary cannot be read"):
        Vocabulary.load(tmp_path / "v.json")


def test_values_are_bags_of_the_same_tokens_as_words(vocabulary: Vocabulary) -> None:
    sentence = sentence_of([HistoryEvent(0, 4.0)], ratings=True, fields=["title", "brand"])
    words = SentenceEncoder(vocabulary, "words").encode(sentence)
    values = SentenceEncoder(vocabulary, "values").encode(sentence)
    assert words.tokens.tolist() == values.tokens.tolist()
    assert set(words.bag_sizes[words.items < 0].tolist()) == {1}
    # [CLS] item title brand rating
    assert len(values) == 5
    assert values.kinds.tolist() == [Kind.FRAME, Kind.ITEM, Kind.ATTRIBUTE, Kind.ATTRIBUTE, Kind.RATING]
    assert values.items.tolist() == [-1, 0, -1, -1, -1]
    assert values.pictures.tolist() == [-1, 0, 0, 0, 0]
    assert values.tokens[1] == vocabulary.field("title")


def test_missing_picture_and_value(vocabulary: Vocabulary) -> None:
    encoded = SentenceEncoder(vocabulary, "values").encode(
        sentence_of([HistoryEvent(1)], show_missing=True, fields=["brand"])
    )
    assert encoded.pictures.tolist() == [-1, -1, -1]
    assert encoded.tokens[-1] == vocabulary.markers[MISSING]


def test_targets_are_what_comes_next(vocabulary: Vocabulary) -> None:
    encoder = SentenceEncoder(vocabulary, "values")
    long = encoder.encode(
        sentence_of([HistoryEvent(0, 4.0), HistoryEvent(1, 2.0)], ratings=True, fields=["title"])
    )
    short = encoder.encode(sentence_of([HistoryEvent(1, 1.0)], ratings=True, fields=[]))
    batch = collate_with_targets([short, long])
    width = len(long)
    # short: [CLS] b r           long: [CLS] a title r b title r
    assert batch.item_targets.positions.tolist() == [0, width, width + 3]
    assert batch.item_targets.labels.tolist() == [[1], [0], [1]]
    ratings = batch.token_targets.kinds == Kind.RATING
    assert batch.token_targets.positions[ratings].tolist() == [1, width + 2, width + 5]
    assert batch.token_targets.labels[ratings, 0].tolist() == [vocabulary.rating(v) for v in (1.0, 4.0, 2.0)]
    attributes = batch.token_targets.kinds == Kind.ATTRIBUTE
    assert set(batch.token_targets.positions[attributes].tolist()) == {width + 1, width + 4}
    assert batch.token_targets.shares[attributes].sum().item() == pytest.approx(2.0)
    assert batch.lengths.tolist() == [3, 7]
    assert batch.picture_rows.tolist() == [0]
    assert torch.equal(batch.items[0], torch.tensor([-1, 1, -1, -1, -1, -1, -1]))


def test_a_horizon_reaches_further_items_of_the_same_sentence(vocabulary: Vocabulary) -> None:
    encoder = SentenceEncoder(vocabulary, "values")
    three = encoder.encode(sentence_of([HistoryEvent(0), HistoryEvent(1), HistoryEvent(1)], fields=[]))
    one = encoder.encode(sentence_of([HistoryEvent(0)], fields=[]))
    found = collate_with_targets([three, one], Horizon(items=3, decay=0.5)).item_targets
    parts = [[4 / 7, 2 / 7, 1 / 7], [2 / 3, 1 / 3, 0], [1, 0, 0], [1, 0, 0]]
    torch.testing.assert_close(found.parts, torch.tensor(parts))
    assert found.labels.tolist() == [[0, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert found.positions.tolist() == [0, 1, 2, 4]


def test_text_content_puts_like_items_together() -> None:
    import polars as pl

    from unimp.data.catalog import Attribute, Catalog

    titles = ["red shoe", "red boot shoe", "blue mug", "blue mug cup", "", "red shoe boot", "cup blue"]
    items = pl.DataFrame({"item_id": [str(i) for i in range(7)], "picture": [None] * 7, "title": titles})
    catalog = Catalog(items.with_columns(pl.col("picture").cast(pl.String)), (Attribute("title", "text"),))
    projector = fit_text(catalog, 3)
    assert projector is not None
    content = projector.project(catalog)
    norms = np.linalg.norm(content, axis=1)
    assert norms[4] == 0.0
    np.testing.assert_allclose(np.delete(norms, 4), 1.0, rtol=1e-5)
    assert content[0] @ content[5] > 0.7 > 0.2 > content[0] @ content[2]
    again = fit_text(catalog, 3)
    assert again is not None
    assert np.array_equal(projector.components, again.components)


def test_places_of_queries_are_cached_within_their_bytes(vocabulary: Vocabulary) -> None:
    """Their words may be anybody's, and as many as somebody sends."""
    projected: list[str] = []

    def project(texts: Sequence[str]) -> FloatArray:
        projected.extend(texts)
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

    encoder = SentenceEncoder(vocabulary, "values", project)
    encoder.places.max_bytes = 3000

    def place(text: str) -> list[float]:
        writer = Template(CATALOG, SentenceConfig()).begin("search")
        found = encoder.encode(writer.asking(Query(text)).done()).query_items[0].text
        assert found is not None
        return list(found.tolist())

    for text in ("red", "red", *(f"{number} bags" for number in range(20)), "red"):
        assert place(text) == [len(text), 1.0]
        assert encoder.places.bytes <= 3000
    assert projected.count("red") == 2
    assert len(projected) == 22
