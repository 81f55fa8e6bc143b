"""Search, selection, explanation and pictures without a model."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from unimp.answer import Explainer, Imaginer, Query, Searcher, Selector
from unimp.core.errors import DataError
from unimp.data.catalog import Attribute, Catalog
from unimp.data.histories import NO_TIME, Histories
from unimp.data.reviews import AspectLexicon
from unimp.features.pixels import Pixels
from unimp.tasks.explanation.references import (
    AgreedSentence,
    FrequentSentence,
    RetrievedSentence,
    Sentences,
    TemplateSentence,
)
from unimp.tasks.image_generation.references import NearestPicture
from unimp.tasks.search.references import Bm25, DenseText
from unimp.tasks.selection.references import ContentSelector, PopularitySelector

ITEMS = [
    ("Alder mug", "mug", "A red striped mug"),
    ("Basel mug", "mug", "A blue plain mug"),
    ("Cedar lamp", "lamp", "A red plain lamp"),
    ("Dover lamp", "lamp", "A blue striped lamp"),
    ("Ember lamp", "lamp", None),
]
LEXICON = AspectLexicon({(word,): word for word in ("mug", "lamp", "handle", "shade")})


def catalog(titles: bool = True) -> Catalog:
    names = ["title", "category", "description"]
    items = pl.DataFrame(ITEMS, schema=names, orient="row").with_columns(
        item_id=pl.Series([str(row) for row in range(len(ITEMS))]), picture=pl.lit(None, dtype=pl.String)
    )
    attributes = (
        Attribute("title", "text"),
        Attribute("category", "category"),
        Attribute("description", "text"),
    )
    return Catalog(items, attributes if titles else (), "title" if titles else None)


def users(*rows: list[int]) -> Histories:
    return Histories.from_lists(list(rows))


def written() -> tuple[Histories, pl.DataFrame]:
    """Three users; what the third writes is like what the first writes."""
    told = [
        (0, 4.0, "The mug has a good sturdy handle."), (2, 5.0, "The lamp has a lovely wide shade."),
        (0, 2.0, "The mug came with cracks inside."), (2, 3.0, "This lamp is far too bright."),
        (1, 5.0, "My mug has a good sturdy handle."), (1, 5.0, "A lamp it is not."),
    ]  # fmt: skip
    events = pl.DataFrame(
        {"review": [text for *_, text in told], "summary": [None] * len(told)},
        schema_overrides={"summary": pl.String},
    )
    count = len(told)
    log = Histories(
        np.array(["a", "b", "c"]),
        np.array([0, 2, 4, 6]),
        np.array([row for row, *_ in told]),
        np.array([rating for _, rating, _ in told], dtype=np.float32),
        np.full(count, NO_TIME, dtype=np.int64),
        np.arange(count),
    )
    return log, events


@pytest.mark.parametrize("kind", [Bm25, DenseText])
def test_words_find_the_item_that_has_them(kind: type[Bm25] | type[DenseText]) -> None:
    searcher: Searcher = kind.fit(catalog())
    queries = [Query("Blue LAMP"), Query("red mug!"), Query("nothing known"), Query(picture_row=1)]
    scores = searcher.search(users([0], [1], [], [2]), queries)
    assert scores.shape == (4, 5)
    assert np.isfinite(scores).all()
    assert scores[:2].argmax(axis=1).tolist() == [3, 0]
    assert not scores[2:].any()


def test_bm25_reads_titles_and_values() -> None:
    scores = Bm25.fit(catalog()).search(users([]), [Query("ember")])
    assert np.flatnonzero(scores[0]).tolist() == [4]


def test_bm25_by_hand() -> None:
    # one of 5 items has the word, once in 3 words; the mean length is (4 * 7 + 3) / 5 = 6.2
    scores = Bm25.fit(catalog()).search(users([]), [Query("ember")])
    length = 3 / 6.2
    assert scores[0, 4] == pytest.approx(np.log(1 + 4.5 / 1.5) / (1 + 1.5 * (0.25 + 0.75 * length)), rel=1e-5)


@pytest.mark.parametrize("kind", [Bm25, DenseText])
def test_a_catalogue_without_words_cannot_be_searched(kind: type[Bm25] | type[DenseText]) -> None:
    with pytest.raises(DataError, match="word"):
        kind.fit(catalog(titles=False))


def test_the_popular_are_selected_and_equals_keep_their_order() -> None:
    selector: Selector = PopularitySelector.fit(users([2, 1], [2, 1], [2]))
    chosen = selector.select(users([0], [0]), [np.array([0, 1, 2]), np.array([4, 3, 0])], [2, 2])
    assert [places.tolist() for places in chosen] == [[2, 1], [0, 1]]


def test_content_like_the_history_is_selected_the_latest_first() -> None:
    content = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 3.0]], dtype=np.float32)
    selector: Selector = ContentSelector.of(content, recency=0.5)
    asked = [np.array([2, 3])] * 3
    chosen = selector.select(users([0, 1], [1, 0], []), asked, [1, 2, 1])
    assert [places.tolist() for places in chosen] == [[1], [0, 1], [0]]


def test_the_profile_is_a_weighted_mean() -> None:
    profile = ContentSelector.of(np.eye(2, dtype=np.float32), recency=0.5).profiles(users([0, 1], []))
    assert profile == pytest.approx(np.array([[1 / 3, 2 / 3], [0, 0]]))


def test_the_most_frequent_sentence_for_everyone() -> None:
    log, events = written()
    again = events.with_columns(review=pl.Series([*events["review"].to_list()[:5], events["review"][2]]))
    explainer: Explainer = FrequentSentence.fit(log, again, LEXICON)
    answers = explainer.explain(log, np.array([0, 0, 2]))
    assert {answer.text for answer in answers} == {"The mug came with cracks inside."}
    assert answers[0].rating != answers[1].rating


def test_the_template_names_what_is_said_most_of_the_item() -> None:
    log, events = written()
    explainer: Explainer = TemplateSentence.fit(log, events, LEXICON)
    texts = [answer.text for answer in explainer.explain(users([], [], []), np.array([0, 2, 4]))]
    # Of item 0 mug is named twice, handle once; of item 2 lamp twice, shade once; of item 4 nothing is known.
    assert texts[:2] == ["I like the mug and the handle.", "I like the lamp and the shade."]
    assert texts[2] == Sentences.of(log, events, LEXICON).most_frequent


def test_a_sentence_of_the_item_by_who_writes_alike() -> None:
    log, events = written()
    explainer: Explainer = RetrievedSentence.fit(log.select([0, 1]), events, LEXICON, 5)
    third = log.select([2]).first(1)
    assert explainer.explain(third, np.array([0]))[0].text == "The mug has a good sturdy handle."


def test_without_likeness_the_rating_decides_and_an_unknown_item_borrows() -> None:
    log, events = written()
    explainer = RetrievedSentence.fit(log.select([0, 1]), events, LEXICON, 5)
    answer = explainer.explain(users([]), np.array([2]))[0]
    assert 3.0 < answer.rating < 4.0  # nearer to 3 than to 5
    assert answer.text == "This lamp is far too bright."
    assert explainer.about(0) == [0, 2]
    silent = events.with_columns(review=pl.Series([*events["review"].to_list()[:1], "", *["Ok."] * 4]))
    borrowing = RetrievedSentence.fit(log, silent, LEXICON, 5)
    assert borrowing.explain(users([]), np.array([2]))[0].text == "The mug has a good sturdy handle."
    assert borrowing.explain(users([]), np.array([4]))[0].text == "The mug has a good sturdy handle."


def test_the_sentence_about_the_item_that_the_others_agree_with() -> None:
    log, events = written()
    told = ["A mug.", "My lamp has a wide shade.", "The mug has a sturdy handle.", "This lamp is bright."]
    events = events.with_columns(review=pl.Series([*told, "The mug has one good handle.", "Ok."]))
    events = events.with_columns(summary=pl.lit(None, dtype=pl.String))
    explainer: Explainer = AgreedSentence.fit(log, events, LEXICON, 5)
    own = [answer.text for answer in explainer.explain(users([], []), np.array([0, 2]))]
    assert own[0] == "The mug has a sturdy handle."
    assert own[1] == "My lamp has a wide shade."


def test_nobody_wrote_anything() -> None:
    log, events = written()
    none = events.with_columns(review=pl.lit(""))
    for explainer in (
        FrequentSentence.fit(log, none, LEXICON), TemplateSentence.fit(log, none, LEXICON),
        RetrievedSentence.fit(log, none, LEXICON, 5), AgreedSentence.fit(log, none, LEXICON, 5),
    ):  # fmt: skip
        answer = explainer.explain(log, np.array([0, 1, 2]))[0]
        assert answer.text == ""
        assert answer.rating > 0


def test_the_picture_of_the_nearest_words() -> None:
    values = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), dtype=np.uint8)
    pixels = Pixels(values, np.array([True, True, True, False, True]), "")
    imaginer: Imaginer = (nearest := NearestPicture.fit(catalog(), pixels, 4))
    guidance = [
        Query("red mug"),
        Query("blue striped lamp"),
        Query("mug"),
        Query("mug"),
        Query(picture_row=0),
    ]
    histories = users([], [], [0], [1], [])
    drawn = imaginer.imagine(histories, guidance, seed=0)
    assert drawn.shape == (5, 8, 8, 3)
    assert drawn.dtype == np.uint8
    rows = nearest.nearest(histories, guidance)
    assert drawn[:, 0, 0, 0].tolist() == rows.tolist()
    assert rows[0] == 0
    assert 3 not in rows  # it has no picture
    assert rows[4] == 1  # not the shown item itself
    with pytest.raises(DataError, match="picture"):
        NearestPicture.fit(catalog(), Pixels(values, np.zeros(5, dtype=np.bool_), ""))


def test_equals_go_by_the_history() -> None:
    pixels = Pixels(np.zeros((5, 8, 8, 3), dtype=np.uint8), np.ones(5, dtype=np.bool_), "")
    nearest = NearestPicture.fit(catalog(), pixels, 4)
    assert nearest.nearest(users([0], [3]), [Query(), Query()]).tolist() == [0, 3]
