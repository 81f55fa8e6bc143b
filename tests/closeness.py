"""Answers that are equal but for rounding: computed by another path, in a batch or from a cache."""

from __future__ import annotations

from typing import Any

import pytest

CLOSE = 1e-3
"""Of two floats, as a share of the larger and as a difference."""


def close(answer: Any, expected: Any) -> None:
    """Equal but for rounding: answers of a batch differ in the last bits."""
    assert type(answer) is type(expected) or isinstance(expected, tuple | int | float)
    if isinstance(expected, dict):
        assert list(answer) == list(expected)
        for key in expected:
            close(answer[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(answer) == len(expected)
        if expected and isinstance(expected[0], dict) and {"item_id", "score"} <= expected[0].keys():
            close_rankings(answer, expected)
            return
        for one, other in zip(answer, expected, strict=True):
            close(one, other)
    elif isinstance(expected, float):
        assert answer == pytest.approx(expected, rel=CLOSE, abs=CLOSE)
    else:
        assert answer == expected


def close_rankings(answer: Any, expected: Any) -> None:
    """The scores are close place by place, each item's facts too; items of close scores may change places,
    and what is last may give way to another of its score."""
    close([one["score"] for one in answer], [one["score"] for one in expected])
    found, wanted = ({one["item_id"]: one for one in ranked} for ranked in (answer, expected))
    assert len(found) == len(wanted) == len(expected)
    for item in found.keys() & wanted.keys():
        close(found[item], wanted[item])
    for item in found.keys() ^ wanted.keys():
        close((found.get(item) or wanted[item])["score"], expected[-1]["score"])
