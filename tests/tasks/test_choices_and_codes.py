"""Candidates in an order that says nothing; codes that come after the answer's marker alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.six import Six
from tests.tasks.test_no_leaks import mentions, questions, windows
from unimp.sentence.parts import Answer, ChosenCandidates, Codes


def test_the_right_candidates_place_says_nothing(six: Six) -> None:
    """Over many draws every place is as likely, in training as in judging."""
    task, train = six.task("selection"), six.split.train
    shares: list[float] = []
    for seed in range(12):
        for window in windows(six, "selection", seed):
            for part in task.sentence(train, window).parts:
                if isinstance(part, ChosenCandidates):
                    shares += [
                        (part.candidates.index(row) + 0.5) / len(part.candidates) for row in part.chosen
                    ]
    assert len(shares) > 1500
    # The mean of places evenly spread over [0, 1] is 1/2 ± 0.29 / sqrt(N); a quarter lies in each quarter.
    assert abs(np.mean(shares) - 0.5) < 4 * 0.29 / len(shares) ** 0.5
    cases = six.split.test
    for hard in (False, True):
        places = np.concatenate(task.choices(cases, hard=hard).places)
        counts = np.bincount(places, minlength=5)
        expected = len(places) / 5
        assert (
            (counts - expected) ** 2 / expected
        ).sum() < 18.5  # chi-square, 4 degrees of freedom: p = .001


@pytest.mark.parametrize("hard", [False, True])
def test_wrong_candidates_are_strangers(six: Six, hard: bool) -> None:
    """Each once, never met by the user; the hard ones of the target's category."""
    task, cases = six.task("selection"), six.split.test
    choices = task.choices(cases, hard=hard)
    categories = six.dataset.catalog.items["category"].to_list()
    for case, (rows, places) in enumerate(zip(choices.candidates, choices.places, strict=True)):
        target = int(cases.target_rows[case])
        assert rows[places].tolist() == [target]
        assert len(set(rows.tolist())) == len(rows) == 5
        assert not set(rows.tolist()) & set(cases.histories.items_of(case).tolist())
        if hard:
            assert {categories[row] for row in rows.tolist()} == {categories[target]}
    again = task.choices(cases.select(np.array([7])), hard=hard)
    assert again.candidates[0].tolist() == choices.candidates[7].tolist()


def test_two_of_ten_ends_the_history_before_both(six: Six) -> None:
    task, cases = six.task("selection"), six.split.test
    choices = task.choices(cases, several=True)
    for case, (rows, places) in enumerate(zip(choices.candidates, choices.places, strict=True)):
        known = cases.histories.items_of(case)
        assert set(rows[places].tolist()) == {int(known[-1]), int(cases.target_rows[case])}
        assert len(rows) == 10
        assert choices.histories.items_of(case).tolist() == known[:-1].tolist()
        assert not set(rows.tolist()) & set(known[:-1].tolist())


def test_training_offers_only_what_training_knows(six: Six) -> None:
    """An item that was never sold is never right: among the wrong ones it would teach that new is wrong."""
    task, train = six.task("selection"), six.split.train
    sold = set(train.item_rows.tolist())
    for window in windows(six, "selection", max_items=50):
        offered = [
            part.candidates
            for part in task.sentence(train, window).parts
            if isinstance(part, ChosenCandidates)
        ]
        assert offered
        assert {row for rows in offered for row in rows} <= sold


def test_a_small_catalogue_has_fewer_candidates(six: Six) -> None:
    """Where everything is known to the user there is nothing else to offer."""
    task, num_items = six.task("selection"), len(six.dataset.catalog)
    rng = np.random.default_rng(0)
    rows = task.candidates([5], np.arange(num_items), 4, True, rng, task.everything)
    assert rows.tolist() == [5]
    rows = task.candidates([5], np.arange(num_items - 2), 4, False, rng, task.everything)
    assert set(rows.tolist()) <= {5, num_items - 2, num_items - 1}


def test_codes_of_the_target_come_after_the_answers_marker(six: Six) -> None:
    task, train = six.task("imagination"), six.split.train
    encoder, vocabulary = six.artifacts.encoder, six.artifacts.vocabulary
    for window in windows(six, "imagination", max_items=50):
        sentence = task.sentence(train, window)
        *before, answer, codes = sentence.parts
        assert isinstance(answer, Answer)
        assert isinstance(codes, Codes)
        assert not any(isinstance(part, Answer | Codes) for part in before)
        target = int(train.items_of(window.user)[window.stop - 1])
        assert target not in mentions(sentence)
        shown = list(codes.codes)
        if mentions(sentence):
            assert shown == task.context.codes[target].tolist()
        else:  # from words alone, any picture of the catalogue
            assert shown in task.context.codes.tolist()
        tokens = encoder.encode(sentence).tokens
        said = np.flatnonzero((tokens >= vocabulary.first_code) & (tokens < vocabulary.first_place))
        assert said.min() > int(np.flatnonzero(tokens == vocabulary.markers["[answer]"]).max())
    for question in questions(six, "imagination"):
        tokens = encoder.encode(question).tokens
        assert not ((tokens >= vocabulary.first_code) & (tokens < vocabulary.first_place)).any()
