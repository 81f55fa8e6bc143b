"""Texts and categories as shops export them: words for a missing value, HTML, lists in one field."""

from __future__ import annotations

import ast
import csv
import html
import json
import re
from typing import Any

import polars as pl

MISSING = [
    *("", "NULL", "Null", "null", "(null)", "NaN", "nan", "NAN", "None", "none", "NaT", "<NA>", "\\N"),
    *("-", "--", "–", "—", "N/A", "n/a", "#N/A", "undefined"),
]
"""What databases, spreadsheets and pandas write where there is no value."""
MISSING_NUMBERS = [*MISSING, "NA", "#VALUE!", "#REF!", "#DIV/0!"]
"""The same for numbers, where NA cannot be a name."""
TAG = r"<!--[\s\S]*?-->|</?[a-zA-Z][^<>]*>|<![a-zA-Z][^<>]*>|<!\[CDATA\[|\]\]>"
TAGS = rf"[ \t]*(?:{TAG})(?:\s*(?:{TAG}))*[ \t]*"
"""Tags, and the blanks around them."""
HIDDEN = r"(?is)<(?:script|style)\b[^>]*>.*?</(?:script|style)\s*>"
"""What a browser does not show."""
LISTED = r"""^\s*(?:\[[\s\S]*\]|\{[\s\S]*\}|\(\s*['"][\s\S]*\)|"\[[\s\S]*\]")\s*$"""
"""What may be a list: in brackets, or such a text once more in quotes."""
QUOTED = r"""'[^']*'|"[^"]*\""""
NAMES_OF_NUMPY = re.compile(rf"\[\s*(?:{QUOTED})(?:\s+(?:{QUOTED}))+\s*\]")
NAMED = ("name", "title", "label", "value")
"""Keys under which an object in a list has its name."""
ENTITY = r"&(?:[a-zA-Z][a-zA-Z0-9]*|#[0-9]+|#[xX][0-9a-fA-F]+);"


def missing_to_null(column: pl.Expr, words: list[str] = MISSING) -> pl.Expr:
    """Text with its words for a missing value as null."""
    return pl.when(~column.str.strip_chars().is_in(words)).then(column)


def plain_text(column: pl.Series) -> pl.Series:
    """Text without HTML: tags become blanks, entities what they stand for; blank text becomes null."""
    marked = column.str.contains(f"{TAG}|{ENTITY}").fill_null(False)
    if not marked.any():
        return column
    chosen = column.filter(marked)
    bare = chosen.str.replace_all(HIDDEN, " ").str.replace_all(TAGS, " ")
    # entities may hide tags: &lt;p&gt;
    decoded = pl.Series([html.unescape(text) for text in bare], dtype=pl.String)
    clean = decoded.str.replace_all(TAGS, " ").str.replace_all("\u00a0", " ").str.strip_chars()
    clean = clean.set(clean == "", None)
    return (
        column.to_frame("text")
        .with_row_index("row")
        .update(pl.DataFrame({"row": marked.arg_true(), "text": clean}), on="row", include_nulls=True)["text"]
    )


def without_markup(text: str) -> str:
    """`plain_text` of one text; blank where nothing is left."""
    if "<" not in text and "&" not in text:
        return text.strip()
    return plain_text(pl.Series([text]))[0] or ""


def split_terms(column: pl.Series, separator: str) -> pl.Series:
    """[N] lists of the terms in each field, parted by `separator`, or listed as JSON or Python would.

    Blank terms and words for a missing value are left out; a field without a term is null.
    """
    listed = column.str.contains(LISTED).fill_null(False)
    terms = column.str.split(separator)
    if listed.any():
        texts = [parse_list(text) if is_list else None for text, is_list in zip(column, listed, strict=True)]
        terms = terms.zip_with(
            pl.Series([text is None for text in texts]), pl.Series(texts, dtype=pl.List(pl.String))
        )
    frame = terms.alias("terms").to_frame()
    element = pl.element().str.strip_chars()
    frame = frame.select(
        pl.col("terms")
        .list.eval(element.filter(~element.is_in(MISSING) & element.is_not_null()))
        .list.unique(maintain_order=True)
    )
    return frame.select(pl.when(pl.col("terms").list.len() > 0).then("terms").alias("terms"))["terms"]


def parse_list(text: str) -> list[str] | None:
    """The texts of a list written as JSON, Python, numpy or PostgreSQL print it; None when it is none."""
    text = text.strip()
    if text.startswith("{") and not text.startswith("{'"):
        return array_of_postgresql(text)
    value = parse_literal(text)
    if isinstance(value, str):  # a list that was written as text twice
        return parse_list(value) if len(value) < len(text) else None
    if isinstance(value, set):
        value = sorted(value, key=str)
    return flat_names(value) if isinstance(value, list | tuple) and is_plain(value) else None


def parse_literal(text: str) -> Any:
    """The value of a text written as JSON, as Python prints it or as numpy prints names; None if none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if NAMES_OF_NUMPY.fullmatch(text):  # to Python, names side by side are one
        return [name[1:-1] for name in re.findall(QUOTED, text)]
    try:
        return ast.literal_eval(text) if len(text) < 100_000 else None
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def array_of_postgresql(text: str) -> list[str] | None:
    """The texts of `{Home,"Garden, Tools"}`; None when it is an object or something else."""
    inner = text[1:-1]
    if ":" in inner or "{" in inner:
        return None
    try:
        row = next(csv.reader([inner], doublequote=False, escapechar="\\", strict=True), [])
    except csv.Error:
        return None
    return [name for name in row if name != "NULL"]


def is_plain(value: Any) -> bool:
    """Whether a list holds names, numbers, objects with a name, nothing, and such lists only."""
    if isinstance(value, list | tuple):
        return all(is_plain(part) for part in value)
    if isinstance(value, dict):
        value = name_of(value)
        return value is not None and not isinstance(value, dict) and is_plain(value)
    return value is None or isinstance(value, str | int | float)


def name_of(value: dict[str, Any]) -> Any:
    """What an object such as `{"id": 28, "name": "Action"}` is called; None without a name."""
    return next((value[key] for key in NAMED if value.get(key) is not None), None)


def flat_names(value: Any) -> list[str]:
    """Every name in a list of names or of lists of names; a text that is written as a list counts as one."""
    if isinstance(value, str):
        inner = parse_list(value) if re.fullmatch(r"\s*\[[\s\S]*\]\s*", value) else None
        return [value] if inner is None else inner
    if isinstance(value, list | tuple):
        return [name for part in value for name in flat_names(part)]
    if isinstance(value, dict):
        value = name_of(value)
    return [] if value is None else [str(value)]
