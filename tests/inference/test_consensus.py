"""Of finished texts the one that agrees most with what others said; agreement by hand."""

from __future__ import annotations

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from tests.six import Six
from unimp.tasks.explanation.consensus import Consensus, agreement, rouge_l_of_words, words_of
from unimp.tasks.explanation.decoder import ModelExplainer
from unimp.tasks.explanation.task import ExplanationTask


def test_rouge_l_by_hand() -> None:
    assert rouge_l_of_words(["a", "b", "c"], ["a", "x", "c", "y"]) == pytest.approx(2 * 2 / 7)
    assert rouge_l_of_words(["a", "a"], ["a"]) == pytest.approx(2 / 3)
    assert rouge_l_of_words(["b", "a"], ["a", "b"]) == pytest.approx(1 / 2)  # in order
    assert rouge_l_of_words([], []) == 0.0
    assert rouge_l_of_words(["a"], []) == 0.0


def test_rouge_l_is_that_of_the_judge() -> None:
    rng, words = np.random.default_rng(0), ["good", "sound", "the", "strings", "price"]
    scorer = RougeScorer(["rougeL"])
    for _ in range(40):
        one, other = (" ".join(rng.choice(words, size=rng.integers(1, 9))) for _ in range(2))
        expected = scorer.score(other, one)["rougeL"].fmeasure
        assert rouge_l_of_words(words_of(one), words_of(other)) == pytest.approx(expected)


def test_agreement_is_a_mean() -> None:
    assert agreement(["a"], [["a"], ["b"], ["a", "b"]]) == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert agreement(["a"], []) == 0.0


def test_what_was_said_decides(six: Six) -> None:
    context = six.artifacts.context
    row = max(context.said, key=lambda one: len(context.said[one]))
    said = context.said[row][-1]
    consensus = Consensus(context, 1)
    assert consensus.best([(-0.1, "qqq zzz vvv"), (-9.0, said)], row) == said
    assert consensus.best([(-2.0, "qqq zzz"), (-1.0, "vvv xxx")], row) == "vvv xxx"  # equals: the likelier
    assert len(consensus.sentences(row)) == 2
    nothing = next(item for item in range(len(context.catalog)) if item not in context.said)
    assert consensus.sentences(nothing) == consensus.of_any_item


def test_the_explainer_takes_it_where_asked(six: Six) -> None:
    explainer = six.artifacts.answerer(six.model(0)).decoder(ExplanationTask)
    assert isinstance(explainer, ModelExplainer)
    assert explainer.consensus is None
    row = max(explainer.task.context.said, key=lambda one: len(explainer.task.context.said[one]))
    finished = [(-1.0, "qqq zzz"), (-5.0, explainer.task.context.said[row][-1])]
    assert explainer.chosen(finished, row) == "qqq zzz"
    explainer.speaking = explainer.speaking.changed(consensus=4)
    del explainer.__dict__["consensus"]
    assert explainer.chosen(finished, row) == finished[1][1]
    assert explainer.chosen([], row) == ""
