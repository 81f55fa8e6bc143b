"""Explanations of a model with random weights: they end, never loop, and never name what is not there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from tests.inference.test_continuation import continued
from tests.six import Six
from unimp.data.histories import Cases
from unimp.data.reviews import named_aspects
from unimp.inference.forward import last_hidden
from unimp.model.unimp import UnimpModel
from unimp.sentence.vocabulary import END
from unimp.tasks.explanation.decoder import LONGEST, NO_REPEAT, SHORTEST, Beam, ModelExplainer
from unimp.tasks.explanation.task import ExplanationTask


@dataclass
class Recording(ModelExplainer):
    """Keeps the tokens of every finished text."""

    spoken: list[tuple[int, ...]] = field(default_factory=list)

    def finish(self, finished: list[tuple[float, str]], beam: Beam, score: float) -> None:
        self.spoken.append(beam.tokens)
        super().finish(finished, beam, score)


def model_of(six: Six, end: float, aspects: float, seed: int) -> UnimpModel:
    """`end` is added to the score of saying no more, `aspects` to that of every word that names an aspect."""
    model, vocabulary = six.model(seed), six.artifacts.vocabulary
    original, token = model.token_logits, vocabulary.markers[END]
    spelled = [vocabulary.words(name) for name in six.artifacts.context.lexicon.phrases.values()]
    words = torch.tensor(sorted({pieces[0] for pieces in spelled if len(pieces) == 1}))

    def scored(hidden: torch.Tensor, first: int = 0, stop: int | None = None) -> torch.Tensor:
        logits = original(hidden, first, stop)
        if (first, stop) == (token, token + 1):
            return logits + end
        if first == vocabulary.first_word:
            logits[:, words - first] += aspects
        return logits

    model.token_logits = scored  # type: ignore[method-assign]
    return model


def explainer_of(six: Six, end: float, *, aspects: float = 0.0, seed: int = 0, beams: int = 3) -> Recording:
    plain = six.artifacts.answerer(model_of(six, end, aspects, seed)).decoder(ExplanationTask)
    assert plain is not None
    speaking = plain.speaking.changed(beams=beams, phrases=0.0, aspect_bonus=0.0)
    return Recording(plain.rater, plain.task, plain.facts, speaking, batch=7)


def some(six: Six) -> Cases:
    return six.split.test.select(np.arange(0, len(six.split.test), 6))


@pytest.mark.parametrize("end", [-1e9, 1.0, 3.0], ids=["never ends by itself", "ends late", "ends soon"])
def test_texts_end_and_no_run_is_said_twice(six: Six, end: float) -> None:
    explainer, cases = explainer_of(six, end), some(six)
    answers = explainer.explain(cases.histories, cases.target_rows)
    assert len(answers) == len(cases)
    assert explainer.spoken
    for tokens in explainer.spoken:
        assert SHORTEST <= len(tokens) <= LONGEST
        runs = [tokens[place : place + NO_REPEAT] for place in range(len(tokens) - NO_REPEAT + 1)]
        assert len(set(runs)) == len(runs)
        vocabulary = six.artifacts.vocabulary
        assert all(vocabulary.first_word <= token < vocabulary.first_code for token in tokens)
    if end < 0:
        assert {len(tokens) for tokens in explainer.spoken} == {LONGEST}


@pytest.mark.parametrize(
    ("end", "aspects"),
    [(-1e9, 4.0), (3.0, 4.0), (6.0, 4.0), (-1e9, 30.0)],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_text_names_an_aspect_that_is_not_the_items(
    six: Six, end: float, aspects: float, seed: int
) -> None:
    """Even of a model that would like nothing better than to name them."""
    context, cases = six.artifacts.context, some(six)
    explainer = explainer_of(six, end, aspects=aspects, seed=seed)
    answers = explainer.explain(cases.histories, cases.target_rows)
    named = [set(named_aspects(answer.text, context.lexicon)) for answer in answers]
    assert sum(map(bool, named)) > 0
    for names, answer, row in zip(named, answers, cases.target_rows.tolist(), strict=True):
        assert names <= context.aspects[row], answer.text


def test_the_rating_is_the_forecast_and_never_read_from_the_text(six: Six) -> None:
    explainer, cases = explainer_of(six, 4.0), some(six)
    answers = explainer.explain(cases.histories, cases.target_rows)
    expected = explainer.rater.rate(cases.histories, cases.target_rows)
    np.testing.assert_allclose([answer.rating for answer in answers], expected, rtol=1e-5)


def test_other_users_change_no_text(six: Six) -> None:
    cases = some(six)
    together = explainer_of(six, 2.0).explain(cases.histories, cases.target_rows)
    for case in (0, 4, 8):
        one = cases.select(np.array([case]))
        assert explainer_of(six, 2.0).explain(one.histories, one.target_rows)[0].text == together[case].text


def test_repeats_by_hand() -> None:
    beam = Beam((1, 2, 3, 1, 2))
    assert beam.repeats(3)
    assert not beam.repeats(1)
    assert not Beam((1, 2)).repeats(3)
    assert not Beam((5, 5)).repeats(5)
    assert Beam((5, 5, 5)).repeats(5)


def test_a_single_beam_takes_the_likeliest_allowed_word(six: Six) -> None:
    """Greedy by the full forward pass, without any cache, says the same."""
    explainer, cases = explainer_of(six, -1e9, beams=1), six.split.test.select(np.array([5]))
    explainer.explain(cases.histories, cases.target_rows)
    (tokens,) = explainer.spoken
    rater = explainer.rater
    row = int(cases.target_rows[0])
    likely = rater.levels[rater.distribution(cases.histories, cases.target_rows).argmax()]
    question = explainer.task.question(cases.histories, 0, row, float(likely))
    begun = rater.encoder.encode(question)
    with torch.inference_mode():
        for count in (0, 1, 6, 20):
            hidden = last_hidden(rater.model, rater.state, [continued(begun, list(tokens[:count]))])
            best = explainer.best_tokens(hidden, [row], [Beam(tuple(tokens))])[1][0]
            beam = Beam(tokens[:count])
            facts = explainer.facts
            allowed = [t for t in best if not beam.repeats(t) and not facts.untrue(beam.tokens, t, row)]
            assert allowed[0] == tokens[count]
