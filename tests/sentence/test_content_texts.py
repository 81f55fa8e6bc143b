"""Free texts in the space of the catalogue."""

import numpy as np
import polars as pl

from unimp.data.catalog import Attribute, Catalog
from unimp.features.text import TextProjector, fit_text

WORDS = ("red striped mug", "red plain mug", "blue striped lamp", "blue plain lamp", "Red dotted LAMP")


def fitted() -> tuple[TextProjector, Catalog]:
    items = pl.DataFrame({"item_id": list("abcde"), "title": list(WORDS)}).with_columns(
        picture=pl.lit(None, dtype=pl.String)
    )
    catalog = Catalog(items, (Attribute("title", "text"),), "title")
    projector = fit_text(catalog, 4)
    assert projector is not None
    return projector, catalog


def test_a_text_lies_where_the_item_of_the_same_words_lies() -> None:
    projector, catalog = fitted()
    assert np.array_equal(projector.project_texts(WORDS), projector.project(catalog))


def test_case_and_punctuation_do_not_count() -> None:
    projector, _ = fitted()
    assert np.array_equal(projector.project_texts(["RED, mug!"]), projector.project_texts(["red mug"]))


def test_rows_are_of_unit_length_or_zero() -> None:
    projector, _ = fitted()
    rows = projector.project_texts(["striped", "unheard of", ""])
    assert np.allclose(np.linalg.norm(rows, axis=1), [1, 0, 0])


def test_no_text_gives_no_row() -> None:
    projector, _ = fitted()
    assert projector.project_texts([]).shape == (0, projector.components.shape[1])
