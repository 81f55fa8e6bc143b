"""`Dataset`: a validated catalogue and log in one folder, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field, ValidationError

from unimp.core.config import Config
from unimp.core.errors import DataError
from unimp.core.files import file_hash
from unimp.data.catalog import Attribute, AttributeKind, Catalog
from unimp.data.interactions import Interactions, RatingScale
from unimp.data.parquet import read_events, read_table
from unimp.data.pictures import PictureSource

FORMAT = 1
MANIFEST, ITEMS, EVENTS, QUERIES = "data.json", "items.parquet", "interactions.parquet", "queries.parquet"
QUERY_COLUMNS: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "item_row": pl.Int64(),
    "timestamp": pl.Int64(),
    "text": pl.String(),
}


class AttributeEntry(Config):
    name: str
    kind: AttributeKind


class ScaleEntry(Config):
    low: float
    high: float
    step: float


class Manifest(Config):
    """`data.json`: what the folder holds and how it came to be."""

    format: int = FORMAT
    source: str
    """Name of the importer."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The importer's options, filters included."""
    attributes: tuple[AttributeEntry, ...] = ()
    title: str | None = None
    pictures: str | None = None
    """Folder or zip the pictures are read from; a relative path starts at the data folder."""
    rating_scale: ScaleEntry | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    """What was read, dropped and kept, by name."""
    notes: tuple[str, ...] = ()
    sha256: dict[str, str] = Field(default_factory=dict)
    """Hash of every Parquet file."""

    @property
    def data_hash(self) -> str:
        joined = "\n".join(f"{name} {digest}" for name, digest in sorted(self.sha256.items()))
        return hashlib.sha256(joined.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Dataset:
    """A catalogue, its interactions, and the words that users said about items."""

    catalog: Catalog
    interactions: Interactions
    queries: pl.DataFrame | None
    """Search queries or tags: `user_id`, `item_row` (null: none named), `timestamp`, `text`."""
    manifest: Manifest
    folder: Path

    @property
    def data_hash(self) -> str:
        """Identity of the content; a run remembers it."""
        return self.manifest.data_hash

    @classmethod
    def load(cls, folder: Path | str, *, verify: bool = False) -> Dataset:
        """Open a data folder; DataError when it is not one, is damaged, or its pictures are gone.

        All events are held: DataError, before they are read, where they do not fit into the free memory.
        `verify` also recomputes the hashes of the Parquet files.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if verify:
            verify_files(folder, manifest)
        source = None
        if manifest.pictures is not None:
            source = PictureSource((folder / manifest.pictures).resolve())
            if not source.path.exists():
                raise DataError(f"{source.path}: the pictures are gone; put them back, or import again")
        attributes = tuple(Attribute(entry.name, entry.kind) for entry in manifest.attributes)
        given = manifest.rating_scale
        scale = RatingScale(given.low, given.high, given.step) if given else None
        queries = read_table(folder / QUERIES) if (folder / QUERIES).exists() else None
        return cls(
            Catalog(read_table(folder / ITEMS), attributes, manifest.title, source),
            Interactions(read_events(folder / EVENTS), scale),
            queries,
            manifest,
            folder,
        )

    @classmethod
    def write(
        cls,
        folder: Path | str,
        catalog: Catalog,
        interactions: Interactions,
        *,
        source: str,
        options: dict[str, Any] | None = None,
        queries: pl.DataFrame | None = None,
        counts: dict[str, int] | None = None,
        notes: tuple[str, ...] = (),
        overwrite: bool = False,
        extra: Callable[[Path], None] | None = None,
    ) -> Dataset:
        """Write a data folder beside `folder`, then rename it into place: half a folder never looks finished.

        Pictures stay where they are. When they lie inside `folder` (a generated shop), `extra` writes them
        into the temporary folder and `catalog.pictures` names their final place.
        """
        write_folder(
            Path(folder),
            catalog,
            lambda path: interactions.events.write_parquet(path, compression="zstd"),
            interactions.rating_scale,
            source=source,
            options=options,
            queries=queries,
            counts=counts,
            notes=notes,
            overwrite=overwrite,
            extra=extra,
        )
        return cls.load(folder)


def write_folder(
    folder: Path,
    catalog: Catalog,
    write_events: Callable[[Path], None],
    scale: RatingScale | None,
    *,
    source: str,
    options: dict[str, Any] | None = None,
    queries: pl.DataFrame | None = None,
    counts: dict[str, int] | None = None,
    notes: tuple[str, ...] = (),
    overwrite: bool = False,
    extra: Callable[[Path], None] | None = None,
) -> Manifest:
    """`Dataset.write` with events that need not be in memory: `write_events` writes their Parquet file."""
    check_target(folder, overwrite)
    temporary = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        temporary.mkdir(parents=True)
        if extra is not None:
            extra(temporary)
        tables = {ITEMS: catalog.items}
        if queries is not None:
            tables[QUERIES] = queries.select(pl.col(name).cast(kind) for name, kind in QUERY_COLUMNS.items())
        for name, table in tables.items():
            table.write_parquet(temporary / name, compression="zstd")
        write_events(temporary / EVENTS)
        manifest = Manifest(
            source=source,
            options=options or {},
            attributes=tuple(AttributeEntry(name=a.name, kind=a.kind) for a in catalog.attributes),
            title=catalog.title,
            pictures=picture_path(catalog.pictures, folder),
            rating_scale=ScaleEntry(low=scale.low, high=scale.high, step=scale.step) if scale else None,
            counts=counts or {},
            notes=notes,
            sha256={name: file_hash(temporary / name) for name in (*tables, EVENTS)},
        )
        (temporary / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
        put_in_place(temporary, folder)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DataError(f"{folder}: cannot be written ({reason}); nothing was left there") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def check_target(folder: Path, overwrite: bool) -> None:
    """DataError unless a data folder may be written at `folder`."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise DataError(f"{folder}: exists and is not a folder; choose another --out")
    if any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise DataError(f"{folder}: exists and is not a data folder; choose another --out")
    if not overwrite:
        raise DataError(f"{folder}: already exists; choose another --out, or add --overwrite")


def put_in_place(temporary: Path, folder: Path) -> None:
    """Rename `temporary` to `folder`; an older folder is renamed away first, never deleted in place."""
    if folder.exists():
        old = temporary.with_suffix(".old")
        os.replace(folder, old)
        try:
            os.replace(temporary, folder)
        except OSError:
            os.replace(old, folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(temporary, folder)


def picture_path(source: PictureSource | None, folder: Path) -> str | None:
    """Where the manifest says the pictures are: relative when they lie inside the data folder."""
    if source is None:
        return None
    path, home = source.path.resolve(), folder.resolve()
    return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)


def read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not folder.is_dir():
        raise DataError(f"{folder}: no such data folder; make one with `unimp data import`")
    if not path.exists():
        raise DataError(f"{folder}: not a data folder (no {MANIFEST}); make one with `unimp data import`")
    try:
        manifest = Manifest.model_validate_json(path.read_text())
    except (ValidationError, ValueError):
        raise DataError(f"{path}: damaged; import the data again") from None
    if manifest.format != FORMAT:
        raise DataError(
            f"{path}: format {manifest.format}, this version reads {FORMAT}; import the data again"
        )
    return manifest


def verify_files(folder: Path, manifest: Manifest) -> None:
    for name, expected in manifest.sha256.items():
        if not (folder / name).exists() or file_hash(folder / name) != expected:
            raise DataError(f"{folder / name}: content does not match {MANIFEST}; import the data again")
