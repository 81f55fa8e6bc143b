"""Errors that a user can mend. Each message is one line: place, problem, value, remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnimpError(Exception):
    """Base of every error that is the user's to mend; the CLI prints it and exits with status 2."""


class DataError(UnimpError):
    """A catalogue, an interaction log or a picture is not what it should be."""


class ConfigError(UnimpError):
    """A recipe key, an option or a combination of them is wrong."""


class CheckpointError(UnimpError):
    """A run folder is damaged, incomplete, or belongs to other data."""


class MissingExtra(UnimpError):
    """An optional dependency is needed and not installed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` for the nearest known names, or the list of all of them."""
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    if near:
        return "; did you mean " + " or ".join(f'"{choice}"' for choice in near) + "?"
    return "; known: " + ", ".join(choices)
