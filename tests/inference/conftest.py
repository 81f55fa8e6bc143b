"""The shop prepared for all six tasks, with and without a frequency filter in the decoder."""

from __future__ import annotations

import pytest

from tests.six import Six


@pytest.fixture(scope="session", params=["attention", "with a filter"])
def either(request: pytest.FixtureRequest, six: Six) -> Six:
    """What reads a history in pieces must give the same with both."""
    return six if request.param == "attention" else six.filtering()
