"""The contract of a dataset source."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest

from unimp.core.errors import DataError
from unimp.data.dataset import Dataset
from unimp.data.importing import import_dataset
from unimp.data.raw import ROW, BadRows, ImportOptions, RawTables
from unimp.data.sources import SOURCES, load_source

KINDS = {"text", "category", "categories", "number"}


class SourceContract:
    """What every source promises. A test file inherits it, names the source and writes a small dataset.

    class TestReceipts(SourceContract):
        source = "receipts"

        def write(self, folder: Path) -> Path: ...

        def spoil(self, path: Path) -> None: ...
    """

    source: ClassVar[str]
    """Name in `SOURCES`."""
    users: ClassVar[int]
    """Different users of the dataset that `write` writes; likewise the others."""
    items: ClassVar[int]
    events: ClassVar[int]

    def write(self, folder: Path) -> Path:
        """Write a small dataset into `folder`; returns the path to import."""
        raise NotImplementedError

    def spoil(self, path: Path) -> None:
        """Make one row of the dataset at `path` unusable, or add one that is."""
        raise NotImplementedError

    def read(self, path: Path, allowed: int = 0) -> tuple[RawTables, BadRows]:
        bad = BadRows(allowed)
        return load_source(self.source).read(path, ImportOptions(), bad, show_progress=False), bad

    def test_says_what_it_is(self) -> None:
        entry = SOURCES[self.source]
        assert entry.help
        assert "\n" not in entry.help
        assert set(entry.options) <= set(ImportOptions.model_fields)

    def test_tables_have_the_common_columns(self, tmp_path: Path) -> None:
        raw, bad = self.read(self.write(tmp_path))
        assert bad.count == 0
        attributes = [attribute.name for attribute in raw.attributes]
        assert {"item_id", ROW, *attributes} <= set(raw.items.frame.columns)
        assert raw.items.frame.schema["item_id"] == pl.String
        assert {attribute.kind for attribute in raw.attributes} <= KINDS
        assert raw.title is None or raw.title in attributes
        assert raw.events
        for rows in raw.events:
            assert {"user_id", "item_id", ROW} <= set(rows.frame.columns)
            assert rows.frame.schema["user_id"] == rows.frame.schema["item_id"] == pl.String
            assert rows.frame.select("user_id", "item_id").null_count().sum_horizontal().item() == 0

    def test_it_can_be_imported(self, tmp_path: Path) -> None:
        path, out = self.write(tmp_path), tmp_path / "imported"
        made = import_dataset(self.source, path, out, ImportOptions(), show_progress=False)
        counts = made.manifest.counts
        assert (counts["users"], counts["items"], counts["events"]) == (self.users, self.items, self.events)
        assert Dataset.load(out).data_hash == made.data_hash

    def test_reading_twice_is_the_same(self, tmp_path: Path) -> None:
        path = self.write(tmp_path)
        first, second = self.read(path)[0], self.read(path)[0]
        assert first.items.frame.equals(second.items.frame)
        for before, after in zip(first.events, second.events, strict=True):
            assert before.frame.equals(after.frame)

    def test_an_unusable_row_is_named_or_counted(self, tmp_path: Path) -> None:
        path = self.write(tmp_path)
        self.spoil(path)
        with pytest.raises(DataError) as caught:
            self.read(path)
        assert "\n" not in str(caught.value)
        assert self.read(path, allowed=1)[1].count == 1

    def test_a_missing_path_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            self.read(tmp_path / "nowhere")
        assert "nowhere" in str(caught.value)
        assert "\n" not in str(caught.value)
