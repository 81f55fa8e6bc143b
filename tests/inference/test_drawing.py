"""Pictures drawn code by code: by seed, by temperature, by nucleus, by guidance."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.six import Six
from unimp.answer import Query
from unimp.data.histories import Histories
from unimp.inference.forward import last_hidden
from unimp.sentence.parts import Codes, UserSentence
from unimp.tasks.image_generation.decoder import ModelImageGenerator, paint
from unimp.tasks.image_generation.guidance import Conditioning, conditioning_weights, guided, sample
from unimp.tasks.image_generation.sampling import SamplingConfig
from unimp.tasks.image_generation.task import ImageGenerationTask

HISTORIES = Histories.from_lists([[1, 5, 9], [], [30, 31]])
QUERIES = [Query("lamp"), Query("Halden mug"), Query("", picture_row=40)]


def imaginer_of(six: Six, **sampling: Any) -> ModelImageGenerator:
    imaginer = six.answerer.decoder(ImageGenerationTask)
    assert imaginer is not None
    return replace(imaginer, sampling=SamplingConfig(**sampling), batch=2)


def codes_of(imaginer: ModelImageGenerator, seed: int = 0, users: int = 3) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        drawn = imaginer.draw(HISTORIES.slice(0, users), QUERIES[:users], [generator] * users)
    return [[int(code) for code in row] for row in drawn]


def test_the_same_seed_draws_the_same_pictures(six: Six) -> None:
    imaginer = imaginer_of(six)
    first = imaginer.imagine(HISTORIES, QUERIES, 7)
    assert first.shape == (3, 16, 16, 3)
    assert first.dtype == np.uint8
    torch.rand(3)  # the caller's random state has no say
    np.testing.assert_array_equal(first, imaginer.imagine(HISTORIES, QUERIES, 7))
    others = [codes_of(imaginer, seed) for seed in range(6)]
    assert len({str(codes) for codes in others}) == 6


def test_without_temperature_there_is_no_chance(six: Six) -> None:
    imaginer = imaginer_of(six, temperature=0.0)
    np.testing.assert_array_equal(
        imaginer.imagine(HISTORIES, QUERIES, 1), imaginer.imagine(HISTORIES, QUERIES, 2)
    )
    narrow = imaginer_of(six, temperature=1.0, top_p=1e-9)
    assert codes_of(imaginer) == codes_of(narrow, seed=1) == codes_of(narrow, seed=2)


def test_each_code_is_the_likeliest_by_the_full_forward_pass(six: Six) -> None:
    imaginer = imaginer_of(six, temperature=0.0)
    vocabulary = six.artifacts.vocabulary
    codes = codes_of(imaginer)
    for user, query in enumerate(QUERIES):
        *question, empty = imaginer.task.question(HISTORIES, user, query).parts
        assert isinstance(empty, Codes)
        for count in range(vocabulary.num_places):
            said = Codes(tuple(codes[user][:count]), empty.block)
            sentence = imaginer.encoder.encode(UserSentence((*question, said)))
            with torch.inference_mode():
                hidden = last_hidden(imaginer.model, imaginer.state, [sentence])
                logits = imaginer.model.token_logits(hidden, vocabulary.first_code, vocabulary.first_place)
            assert int(logits.argmax()) == codes[user][count]


def test_other_users_change_no_picture(six: Six) -> None:
    imaginer = imaginer_of(six, temperature=0.0)
    assert codes_of(imaginer)[:1] == codes_of(imaginer, users=1)


def test_guidance_by_hand() -> None:
    everything, words, nothing = (torch.randn(2, 5) for _ in range(3))
    log = partial(torch.log_softmax, dim=-1)
    assert guided([words], [3.0]) is words
    assert conditioning_weights(1.0, None) == {Conditioning.ALL: 1.0}
    assert conditioning_weights(0.0, None) == {Conditioning.NOTHING: 1.0}
    assert conditioning_weights(1.0, 0.0) == {Conditioning.WORDS: 1.0}
    assert conditioning_weights(3.0, None) == {Conditioning.ALL: 3.0, Conditioning.NOTHING: -2.0}
    weights = conditioning_weights(3.0, 0.5)
    assert list(weights) == [Conditioning.ALL, Conditioning.WORDS, Conditioning.NOTHING]
    found = guided([everything, words, nothing], list(weights.values()))
    by_hand = log(nothing) + 3 * (log(words) - log(nothing)) + 0.5 * (log(everything) - log(words))
    torch.testing.assert_close(found, by_hand)


def test_a_history_that_counts_nothing_leaves_the_words(six: Six) -> None:
    """And one that counts as often as they do changes nothing against a guidance of both."""
    words = imaginer_of(six, temperature=0.0, guidance=2.0)
    with torch.inference_mode():
        unread = words.draw(HISTORIES.first(0), QUERIES, [torch.Generator()] * 3).tolist()
    both = codes_of(words)
    assert codes_of(imaginer_of(six, temperature=0.0, guidance=2.0, history_guidance=0.0)) == unread
    assert codes_of(imaginer_of(six, temperature=0.0, guidance=2.0, history_guidance=2.0)) == both
    assert unread != both


def test_guidance_reads_with_and_without_words_and_history(six: Six) -> None:
    """Guided towards nothing, the picture is that of no words and no history."""
    unguided = imaginer_of(six, temperature=0.0)
    with torch.inference_mode():
        nothing = unguided.draw(HISTORIES.first(0), [Query()] * 3, [torch.Generator()] * 3)
    assert codes_of(imaginer_of(six, temperature=0.0, guidance=0.0)) == nothing.tolist()
    assert codes_of(imaginer_of(six, temperature=0.0, guidance=4.0)) != nothing.tolist()


def test_the_nucleus_by_hand() -> None:
    """Of 0.5, 0.3 and 0.2, sixty per cent need the first two, which keep their proportion."""
    logits = torch.tensor([[0.3, 0.5, 0.2]]).log().repeat(4000, 1)
    drawn = sample(
        logits, SamplingConfig(temperature=1.0, top_p=0.6), [torch.Generator().manual_seed(0)] * len(logits)
    )
    counts = torch.bincount(drawn, minlength=3) / 4000
    assert counts[2] == 0
    assert float(counts[1]) == pytest.approx(0.5 / 0.8, abs=0.03)
    every = sample(
        logits, SamplingConfig(temperature=1.0, top_p=1.0), [torch.Generator().manual_seed(0)] * len(logits)
    )
    shares = (torch.bincount(every, minlength=3) / 4000).tolist()
    assert shares == pytest.approx([0.3, 0.5, 0.2], abs=0.03)


def test_temperature_by_hand() -> None:
    """At a half, likelihoods are squared: 0.3, 0.5, 0.2 become 9, 25, 4 of 38."""
    logits = torch.tensor([[0.3, 0.5, 0.2]]).log().repeat(4000, 1)
    drawn = sample(
        logits, SamplingConfig(temperature=0.5, top_p=1.0), [torch.Generator().manual_seed(1)] * len(logits)
    )
    shares = (torch.bincount(drawn, minlength=3) / 4000).tolist()
    assert shares == pytest.approx([9 / 38, 25 / 38, 4 / 38], abs=0.03)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.1}, {"guidance": -1.0}, {"history_guidance": -0.5}],
)
def test_what_cannot_be_drawn_from_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SamplingConfig.model_validate(wrong)


def test_codes_of_the_catalogue_are_painted_as_its_pictures(six: Six) -> None:
    context, tokenizer = six.artifacts.context, six.artifacts.tokenizer
    assert context.codes is not None
    assert tokenizer is not None
    rows = np.flatnonzero(context.codes[:, 0] >= 0)[:4]
    codes = torch.from_numpy(context.codes[rows])
    painted = paint(tokenizer, codes)
    expected = tokenizer.decode(codes).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(painted / 255.0, expected, atol=0.5 / 255 + 1e-6)
