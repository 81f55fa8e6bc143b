"""`SourceTable`: columns and chunks of rows, whatever file or frame they come from.

CSV and JSON lines give text; Parquet, Arrow files and frames give what they hold, in a few plain types.
Memory: one chunk, except for frames, which are in memory already.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from unimp.core.errors import DataError
from unimp.data.csv_reading import CsvLayout, csv_chunks, csv_layout
from unimp.data.files import ARROW, ARROW_STREAM, PARQUET, first_bytes, only_member
from unimp.data.json_lists import begins_like_json, json_keys
from unimp.data.raw import ROW, BadRows, Rows
from unimp.data.reading import json_chunks

CHUNK_ROWS = 1 << 19
CHUNK_BYTES = 64 << 20
"""Of a Parquet file, unpacked, what is held at a time."""
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
PACKINGS = (".gz", ".zst", ".bz2", ".xz", ".zip")


class SourceTable(Protocol):
    """Rows with named columns."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def columns(self) -> list[str]: ...

    def chunks(self, wanted: Sequence[str], bad: BadRows, *, show_progress: bool = False) -> Iterator[Rows]:
        """The `wanted` columns chunk by chunk, at least one; unusable rows are counted in `bad`."""
        ...


@dataclass(frozen=True)
class CsvTable:
    layout: CsvLayout

    @property
    def name(self) -> str:
        return str(self.layout.path)

    @property
    def columns(self) -> list[str]:
        return self.layout.columns

    def chunks(self, wanted: Sequence[str], bad: BadRows, *, show_progress: bool = False) -> Iterator[Rows]:
        unnamed = len(self.layout.dialect.columns) - len(self.columns)
        if unnamed:
            bad.note(f"{self.layout.path.name}: {unnamed} column(s) without a name left out")
        if titles := self.layout.dialect.titles:
            bad.note(f"{self.layout.path.name}: {titles} row(s) above the header left out")
        return csv_chunks(self.layout, wanted, bad, show_progress=show_progress)


@dataclass(frozen=True)
class FileTable:
    """A file whose columns are known before its rows are read."""

    path: Path
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def columns(self) -> list[str]:
        return list(self.originals)

    @cached_property
    def originals(self) -> dict[str, str]:
        """Name on one line -> the name in the file; a column whose name is blank is left out."""
        found: dict[str, str] = {}
        for name in self.names:
            if plain := " ".join(name.split()):
                found.setdefault(plain, name)
        return found

    def renamed(self, wanted: Sequence[str], frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for frame in frames:
            yield frame.rename({self.originals[name]: name for name in wanted})


class JsonTable(FileTable):
    def chunks(self, wanted: Sequence[str], bad: BadRows, *, show_progress: bool = False) -> Iterator[Rows]:
        def pick(record: Mapping[str, Any]) -> tuple[Any, ...]:
            if not isinstance(record, dict):
                raise ValueError("not an object")
            return tuple(json_text(record.get(name)) for name in keys)

        keys = [self.originals[name] for name in wanted]

        schema = dict.fromkeys(wanted, pl.String())
        return json_chunks(self.path, bad, pick, schema, show_progress=show_progress)


def json_text(value: Any) -> str | None:
    """A JSON value as a CSV would have it; blank text is none."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False) if value else None
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"  # pandas makes floats of whole ids beside a missing one
    return repr(value)


class ParquetTable(FileTable):
    def chunks(self, wanted: Sequence[str], bad: BadRows, *, show_progress: bool = False) -> Iterator[Rows]:
        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                names = [self.originals[name] for name in wanted]
                batches = file.iter_batches(batch_size=batch_rows(file), columns=names, use_threads=False)
                frames = self.renamed(wanted, map(from_arrow, batches))
                yield from numbered(self.path.name, frames, wanted)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, "Parquet", error) from None


def batch_rows(file: pyarrow.parquet.ParquetFile) -> int:
    """How many rows make about CHUNK_BYTES, CHUNK_ROWS at most."""
    groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
    size: int = sum(group.total_byte_size for group in groups) // max(1, file.metadata.num_rows)
    return max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(1, size)))


class ArrowTable(FileTable):
    def chunks(self, wanted: Sequence[str], bad: BadRows, *, show_progress: bool = False) -> Iterator[Rows]:
        try:
            with pa.memory_map(str(self.path)) as memory, arrow_reader(memory) as reader:
                names = [self.originals[name] for name in wanted]
                batches = (batch.select(names) for batch in record_batches(reader))
                frames = self.renamed(wanted, map(from_arrow, batches))
                yield from numbered(self.path.name, frames, wanted)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, "Arrow", error) from None


def arrow_reader(memory: pa.MemoryMappedFile) -> Any:
    """pyarrow's reader of an Arrow file, or of a stream that was written to a file."""
    is_file = memory.read(len(ARROW)) == ARROW
    memory.seek(0)
    return pyarrow.ipc.open_file(memory) if is_file else pyarrow.ipc.open_stream(memory)


def record_batches(reader: Any) -> Iterator[pa.RecordBatch]:
    if isinstance(reader, pyarrow.ipc.RecordBatchStreamReader):
        return iter(reader)
    return map(reader.get_batch, range(reader.num_record_batches))


@dataclass(frozen=True)
class FrameTable:
    """A table in memory; messages call it `name` and count its rows from 1."""

    name: str
    frame: pl.DataFrame

    @property
    def columns(self) -> list[str]:
        return self.frame.columns

    def chunks(self, wanted: Sequence[str], bad: BadRows, *, show_progress: bool = False) -> Iterator[Rows]:
        slices = self.frame.select(wanted).iter_slices(CHUNK_ROWS)
        return numbered(self.name, (plain_types(part) for part in slices), wanted)


def numbered(name: str, frames: Iterator[pl.DataFrame], wanted: Sequence[str]) -> Iterator[Rows]:
    """`frames` with the numbers of their rows from 1; one without rows when there are none."""
    done, empty = 0, True
    for frame in frames:
        numbers = pl.int_range(done + 1, done + 1 + frame.height, eager=True).alias(ROW)
        done, empty = done + frame.height, False
        yield Rows(name, frame.with_columns(numbers))
    if empty:
        schema = dict.fromkeys(wanted, pl.String()) | {ROW: pl.Int64()}
        yield Rows(name, pl.DataFrame(schema=schema))


def from_arrow(batch: pa.RecordBatch) -> pl.DataFrame:
    return plain_types(pl.DataFrame(pl.from_arrow(batch)))


def plain_types(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns as text, numbers, times, or lists of text; blank text as null."""
    return frame.select(plain_type(frame[name]) for name in frame.columns)


def plain_type(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if kind == pl.String:
        return column.set((column == "").fill_null(False), None)
    if kind == pl.Duration:
        return column.dt.to_string("polars")
    if kind.is_temporal() or kind.is_integer() or kind.is_float():
        return column
    if kind == pl.Boolean:
        return (
            pl.select(pl.when(column).then(pl.lit("true")).when(~column).then(pl.lit("false")))
            .to_series()
            .alias(column.name)
        )
    if kind == pl.Decimal:
        return column.cast(pl.Float64)
    if isinstance(kind, pl.List | pl.Array):
        lists = [None if cell is None else list_of_texts(cell) for cell in column.to_list()]
        return pl.Series(column.name, lists, dtype=pl.List(pl.String))
    if kind in (pl.Categorical, pl.Enum, pl.Null):
        return column.cast(pl.String)
    texts = [None if value is None else describe_value(value) for value in column.to_list()]
    return pl.Series(column.name, texts, dtype=pl.String)


def list_of_texts(cell: list[Any]) -> list[str]:
    return [str(value) for value in cell if value is not None]


def describe_value(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json_text(value) or "" if isinstance(value, dict) else str(value)


def unreadable(path: Path, kind: str, error: Exception) -> DataError:
    reason = str(error).splitlines()[0]
    return DataError(f"{path}: not a readable {kind} file ({reason}); write or fetch it again")


def open_table(
    path: Path, delimiter: str | None = None, encoding: str | None = None, known: Collection[str] = ()
) -> SourceTable:
    """The table in a file of any known kind, told by its first bytes; DataError when there is none.

    `delimiter`, `encoding` and `known` column names are for CSV, see `csv_layout`.
    """
    start = first_bytes(path)
    if start.startswith(PARQUET):
        try:
            return ParquetTable(path, tuple(pyarrow.parquet.read_schema(path).names))
        except (pa.ArrowException, OSError) as error:
            raise unreadable(path, "Parquet", error) from None
    if start.startswith((ARROW, ARROW_STREAM)):
        try:
            with pa.memory_map(str(path)) as memory:
                return ArrowTable(path, tuple(arrow_reader(memory).schema.names))
        except (pa.ArrowException, OSError) as error:
            raise unreadable(path, "Arrow", error) from None
    if kind_suffix(path) in JSON_SUFFIXES or begins_like_json(path):
        return JsonTable(path, json_keys(path))
    return CsvTable(csv_layout(path, delimiter, encoding, known))


def kind_suffix(path: Path) -> str:
    """The suffix of a file without that of its packing; of `events.zip`, that of the one file within."""
    name = Path(path.stem) if path.suffix.lower() in PACKINGS else path
    if path.suffix.lower() == ".zip" and not name.suffix and path.is_file():
        name = Path(only_member(path))
    return name.suffix.lower()
