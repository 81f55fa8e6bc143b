"""Who predicts what: answers and context are predicted, what is shown never is."""

from __future__ import annotations

import pytest
import torch

from tests.sentence.test_template import CATALOG
from unimp.answer import Query
from unimp.data.interactions import RatingScale
from unimp.sentence.encoder import EncodedSentence, Kind, SentenceEncoder
from unimp.sentence.parts import Role
from unimp.sentence.targets import END_OF_CHOICE
from unimp.sentence.template import SentenceConfig, Template, Writer
from unimp.sentence.training_batch import TrainingBatch, collate_with_targets
from unimp.sentence.vocabulary import ANSWER, END, QUERY, TokenizerConfig, build_vocabulary

SCALE = RatingScale(1, 5, 1)
VOCABULARY = build_vocabulary(CATALOG, SCALE, ["do it"], TokenizerConfig(min_frequency=1), (16, 4))
VALUES = SentenceEncoder(VOCABULARY, "values")
WORDS = SentenceEncoder(VOCABULARY, "words")


def begin(**config: object) -> Writer:
    fields = {"task_words": False, "fields": ["title"], **config}
    return Template(CATALOG, SentenceConfig.model_validate(fields)).begin("do it")


def batch_of(*writers: Writer, encoder: SentenceEncoder = VALUES) -> TrainingBatch:
    return collate_with_targets([encoder.encode(writer.done()) for writer in writers])


def encoded(writer: Writer, encoder: SentenceEncoder = VALUES) -> EncodedSentence:
    return encoder.encode(writer.done())


@pytest.mark.parametrize("encoder", [VALUES, WORDS], ids=["values", "words"])
def test_what_is_shown_is_never_a_target(encoder: SentenceEncoder) -> None:
    shown = begin().item(0, Role.SHOWN).rating(3.0, Role.SHOWN).asking(Query("red")).item(1, Role.SHOWN)
    batch = batch_of(shown, encoder=encoder)
    assert not len(batch.item_targets.labels)
    assert not len(batch.token_targets.labels)
    assert not len(batch.choice_targets.labels)


def test_roles_are_those_of_what_is_predicted() -> None:
    batch = batch_of(begin().item(0, Role.SHOWN).item(1).rating(2.0, Role.ANSWER).item(0, Role.ANSWER))
    # [CLS] a title b title rating a title
    assert batch.item_targets.positions.tolist() == [2, 5]
    assert batch.item_targets.roles.tolist() == [Role.CONTEXT, Role.ANSWER]
    tokens = batch.token_targets
    ratings = tokens.kinds == Kind.RATING
    assert tokens.positions[ratings].tolist() == [4]
    assert tokens.roles[ratings].tolist() == [Role.ANSWER]
    assert tokens.shares[ratings].tolist() == [1.0], "one token alone counts as one"
    assert tokens.parts.tolist() == [[1.0]] * len(tokens.labels), "one right answer each"
    titles = tokens.where(tokens.kinds == Kind.ATTRIBUTE)
    assert set(titles.positions.tolist()) == {3, 6}
    assert set(titles.roles.tolist()) == {Role.CONTEXT}


def test_a_missing_rating_is_read_but_never_predicted() -> None:
    batch = batch_of(begin(fields=[]).item(0).rating(None).item(1).rating(5.0))
    ratings = batch.token_targets.kinds == Kind.RATING
    assert batch.token_targets.labels[ratings, 0].tolist() == [VOCABULARY.rating(5.0)]


def test_the_end_of_a_speech_is_predicted_unless_it_goes_on() -> None:
    for complete in (True, False):
        tokens = batch_of(begin().answer().speech("red thing", complete=complete)).token_targets
        wanted = VOCABULARY.words("red thing") + [VOCABULARY.markers[END]] * complete
        assert tokens.labels[:, 0].tolist() == wanted
        # [CLS] [answer] red thing: each is predicted from the position before it.
        assert tokens.positions.tolist() == list(range(1, 1 + len(wanted)))
        assert set(tokens.kinds.tolist()) == {Kind.WORD}
        assert set(tokens.roles.tolist()) == {Role.ANSWER}


def test_choices_shrink_and_end() -> None:
    writer = begin(fields=[]).item(0, Role.SHOWN).item(1, Role.SHOWN).answer().choice([1, 0], [0, 1])
    other = begin(fields=[]).item(1, Role.SHOWN).answer().choice([1], [1], complete=False)
    batch = batch_of(writer, other)
    # [CLS] a b [answer] a b [end] and [CLS] b [answer] b
    targets = batch.choice_targets
    end = END_OF_CHOICE
    assert targets.positions.tolist() == [3, 4, 5, 9]
    assert targets.candidates.tolist() == [[end, 1, 0], [end, 1, -1], [end, -1, -1], [end, 1, -1]]
    assert targets.labels.tolist() == [2, 1, 0, 1]
    assert not len(batch.item_targets.labels)
    assert not len(batch.token_targets.labels)


def test_the_model_reads_what_it_chose() -> None:
    one = encoded(begin(fields=[]).item(0, Role.SHOWN).answer().choice([0], [0]))
    assert one.items.tolist() == [-1, 0, -1, 0, -1]
    assert one.tokens[-2:].tolist() == [VOCABULARY.markers[ANSWER], VOCABULARY.markers[END]]


def test_a_code_is_predicted_and_the_place_beside_it_is_not() -> None:
    one = encoded(begin().answer().codes([7, 5, 0, 2]))
    first, place = VOCABULARY.first_code, VOCABULARY.first_place
    marker = VOCABULARY.markers[ANSWER]
    assert one.tokens[1:].tolist() == [
        *(marker, place, first + 7, place + 1, first + 5, place + 2, first, place + 3, first + 2)
    ]
    assert one.bag_sizes.tolist() == [1, 2, 2, 2, 2, 1]
    targets = collate_with_targets([one]).token_targets
    assert targets.labels[:, 0].tolist() == [first + 7, first + 5, first, first + 2]
    assert targets.positions.tolist() == [1, 2, 3, 4]
    assert targets.shares.tolist() == [1.0] * 4  # the place takes no share
    assert set(targets.kinds.tolist()) == {Kind.CODE}


def test_a_question_for_codes_ends_at_the_first_place() -> None:
    one = encoded(begin().answer().codes([]))
    assert one.tokens.tolist()[1:] == [VOCABULARY.markers[ANSWER], VOCABULARY.first_place]
    assert not len(collate_with_targets([one]).token_targets.labels)


def test_a_position_counts_once_however_many_words_share_it() -> None:
    writer = begin(fields=["title", "brand"]).item(0)
    targets = batch_of(writer).token_targets
    sizes = [1 + len(VOCABULARY.words("a very long red thing")), 1 + len(VOCABULARY.words("Acme"))]
    expected = [1 / size for size in sizes for _ in range(size)]
    torch.testing.assert_close(targets.shares, torch.tensor(expected))
    assert batch_of(writer, encoder=WORDS).token_targets.shares.tolist() == [1.0] * sum(sizes)


def test_query_items_are_numbered_through_the_batch() -> None:
    first = begin(fields=[]).asking(Query("red")).item(0, Role.ANSWER).asking(Query("", picture_row=0))
    second = begin(fields=[]).item(1)
    third = begin(fields=[]).asking(Query("long")).item(0, Role.ANSWER)
    batch = batch_of(first, second, third)
    width = batch.items.shape[1]
    assert width == 4
    assert batch.items.tolist() == [[-1, -2, 0, -3], [-1, 1, -1, -1], [-1, -4, 0, -1]]
    assert batch.query_pictures.tolist() == [-1, 0, -1]
    assert batch.query_text is None  # this encoder has no space of texts
    marker = VOCABULARY.markers[QUERY]
    assert batch.token_positions[batch.tokens == marker].tolist() == [1, 3, 2 * width + 1]


def test_a_query_in_words_is_a_marker_and_positions_of_its_own() -> None:
    one = encoded(begin().asking(Query("red thing")), WORDS)
    words = VOCABULARY.words("red thing")
    assert one.items.tolist() == [-1, -2, *[-1] * len(words)]
    assert one.tokens.tolist()[1:] == [VOCABULARY.markers[QUERY], *words]
    together = encoded(begin().asking(Query("red thing")), VALUES)
    assert together.items.tolist() == [-1, -2]
    assert together.tokens.tolist() == one.tokens.tolist()
