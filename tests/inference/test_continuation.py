"""A sentence continued from its cache is read as if it had been written out at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.six import Six
from unimp.answer import Query
from unimp.inference.continuation import Continuation
from unimp.inference.forward import last_hidden, read
from unimp.model.unimp import UnimpModel
from unimp.sentence.batch import collate
from unimp.sentence.encoder import EncodedSentence, SentenceEncoder
from unimp.sentence.parts import UserSentence
from unimp.sentence.template import Writer

CLOSE = {"rtol": 1e-3, "atol": 5e-4}


def encoder_of(six: Six, answers: str) -> SentenceEncoder:
    known = six.artifacts.encoder
    return SentenceEncoder(
        known.vocabulary, known.attributes, known.project, answers_see_all=answers == "all"
    )


def histories(six: Six, lengths: Sequence[int]) -> list[Writer]:
    """Beginnings of different lengths, with pictures: the shortest has no item at all."""
    template = six.artifacts.template
    pictured = np.flatnonzero(np.array(template.has_picture))
    writers = []
    for start, length in enumerate(lengths):
        writer = template.begin("go on")
        for row in pictured[start * 7 : start * 7 + length].tolist():
            writer.item(row).rating(float(1 + row % 5))
        writers.append(writer)
    return writers


@torch.inference_mode()
def full(six: Six, model: UnimpModel, sentences: Sequence[EncodedSentence]) -> torch.Tensor:
    """[B, D] the last hidden states, each sentence read by itself."""
    state = model.item_state(six.artifacts.items)
    parts = [read(model, state, collate([one]))[0, -1, : model.width] for one in sentences]
    return torch.stack(parts)


def encode(encoder: SentenceEncoder, sentences: Sequence[UserSentence]) -> list[EncodedSentence]:
    return [encoder.encode(sentence) for sentence in sentences]


@torch.inference_mode()
@pytest.mark.parametrize("answers", ["all", "own"])
def test_alignment_at_the_end_changes_no_last_state(either: Six, answers: str) -> None:
    encoder, model = encoder_of(either, answers), either.model()
    writers = histories(either, [3, 0, 6, 1])
    writers[0].asking(Query("lamp", picture_row=40)).answer().codes([])
    writers[1].asking(Query("mug")).answer()
    sentences = encode(encoder, [writer.done() for writer in writers])
    state = model.item_state(either.artifacts.items)
    expected = full(either, model, sentences)
    padded = last_hidden(model, state, sentences)[:, : model.width]
    aligned = Continuation(model, state, sentences, 0).hidden_BD
    torch.testing.assert_close(padded, expected, **CLOSE)
    torch.testing.assert_close(aligned, expected, **CLOSE)


@torch.inference_mode()
@pytest.mark.parametrize("answers", ["all", "own"])
def test_every_step_equals_the_longer_sentence(either: Six, answers: str) -> None:
    """Codes: each step is a bag of two tokens, the code and the place of the next one."""
    encoder, model = encoder_of(either, answers), either.model()
    vocabulary = encoder.vocabulary
    codes = [[3, 15, 0], [7, 7, 1], [12, 4, 9]]
    lengths = [4, 0, 2]
    state = model.item_state(either.artifacts.items)

    def written(count: int) -> list[EncodedSentence]:
        writers = histories(either, lengths)
        return encode(
            encoder,
            [w.answer().codes(c[:count]).done() for w, c in zip(writers, codes, strict=True)],
        )

    going = Continuation(model, state, written(0), 3)
    torch.testing.assert_close(going.hidden_BD, full(either, model, written(0)), **CLOSE)
    for count in (1, 2, 3):
        bags = [[vocabulary.first_code + row[count - 1], vocabulary.first_place + count] for row in codes]
        hidden = going.step(torch.tensor(bags))
        torch.testing.assert_close(hidden, full(either, model, written(count)), **CLOSE)


@torch.inference_mode()
@pytest.mark.parametrize("answers", ["all", "own"])
def test_kept_beams_go_on_from_their_own_past(either: Six, answers: str) -> None:
    """Rows are dropped, doubled and moved between steps, as beam search does."""
    encoder, model = encoder_of(either, answers), either.model()
    words = either.artifacts.vocabulary.words("lamp mug dress jacket bag cushion")
    lengths = [5, 1, 3]
    state = model.item_state(either.artifacts.items)
    owners, said = [0, 1, 2], [[], [], []]  # type: ignore[var-annotated]
    begun = encode(encoder, [writer.answer().done() for writer in histories(either, lengths)])
    going = Continuation(model, state, begun, 4)
    moves = [[2, 0, 0, 1], [3, 1, 1], [0, 2], [1, 0]]
    for turn, rows in enumerate(moves):
        going.keep(torch.tensor(rows))
        owners = [owners[row] for row in rows]
        said = [[*said[row], words[(turn + place) % len(words)]] for place, row in enumerate(rows)]
        hidden = going.step(torch.tensor([tokens[-1:] for tokens in said]))
        expected = full(either, model, [continued(begun[o], t) for o, t in zip(owners, said, strict=True)])
        torch.testing.assert_close(hidden, expected, **CLOSE)


def continued(sentence: EncodedSentence, tokens: list[int]) -> EncodedSentence:
    """The sentence with further positions like its last one, a token each."""
    count = len(tokens)

    def longer(name: str) -> np.ndarray:
        values = getattr(sentence, name)
        return np.concatenate([values, np.repeat(values[-1:], count)])

    return EncodedSentence(
        *(longer(name) for name in ("kinds", "roles", "items", "pictures", "sees")),
        np.concatenate([sentence.tokens, np.array(tokens, dtype=np.int64)]),
        np.concatenate([sentence.bag_sizes, np.ones(count, dtype=np.int64)]),
        np.concatenate([sentence.predicted, np.zeros(count, dtype=np.bool_)]),
        sentence.query_items,
        sentence.candidates,
    )


@torch.inference_mode()
def test_another_sentence_beside_it_moves_nothing(six: Six) -> None:
    model, encoder = six.model(), six.artifacts.encoder
    state = model.item_state(six.artifacts.items)
    sentences = encode(encoder, [w.answer().done() for w in histories(six, [2, 9])])
    token = torch.tensor([[six.artifacts.vocabulary.first_word + 5]])
    alone = Continuation(model, state, sentences[:1], 1)
    beside = Continuation(model, state, sentences, 1)
    torch.testing.assert_close(beside.hidden_BD[:1], alone.hidden_BD, **CLOSE)
    torch.testing.assert_close(beside.step(token.repeat(2, 1))[:1], alone.step(token), **CLOSE)
    # The pictures matter at all: with closed gates the states are others.
    closed = Continuation(six.model(gate=0.0), state, sentences[:1], 0)
    assert not torch.allclose(closed.hidden_BD, alone.hidden_BD, atol=1e-3)
