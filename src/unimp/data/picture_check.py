"""Which picture belongs to which item, and whether it can be decoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import polars as pl

from unimp.core.errors import DataError
from unimp.core.progress import progress_bar
from unimp.data.pictures import PictureSource, open_picture
from unimp.data.raw import ROW, PictureCheck, Rows

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}
SAMPLE = 4000
"""`--check-pictures sample` decodes at most so many, evenly spread over the catalogue."""


def find_pictures(given: Path | None, folder: Path, usual: Sequence[str]) -> PictureSource | None:
    """The folder or zip that was given, or the first of the `usual` names that exists in `folder`."""
    if given is not None:
        if not given.exists():
            raise DataError(f"{given}: no such folder or zip of pictures; correct --pictures")
        return PictureSource(given)
    return next((PictureSource(folder / name) for name in usual if (folder / name).exists()), None)


def attach_pictures(
    items: Rows, source: PictureSource | None
) -> tuple[Rows, dict[str, int], tuple[str, ...]]:
    """Items with their `picture`: as the table names it, else the file that is called like the item's id.

    A picture that the table names must exist; one that is looked up by id may be missing, and is counted.
    """
    frame = items.frame
    if "picture" in frame.columns:
        reject_missing(items, source)
    elif source is None:
        frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias("picture"))
    else:
        found = pictures_by_id(source)
        frame = frame.with_columns(pl.Series("picture", [found.get(i) for i in frame["item_id"]], pl.String))
    missing = frame["picture"].null_count()
    counts = {"pictures": frame.height - missing, "pictures_missing": missing}
    if missing == frame.height:
        where = f": none in {source.path.name} is called like an item" if source else ""
        return Rows(items.file, frame), counts, (f"no item has a picture{where}",)
    notes = (f"{missing} item(s) without a picture",) if missing else ()
    return Rows(items.file, frame), counts, notes


def pictures_by_id(source: PictureSource) -> dict[str, str]:
    """File name without suffix -> reference; of several, the first in alphabetical order."""
    found: dict[str, str] = {}
    for reference in sorted(source.names(), reverse=True):
        name = PurePosixPath(reference)
        if name.suffix.lower() in SUFFIXES:
            found[name.stem] = reference
    return found


def reject_missing(items: Rows, source: PictureSource | None) -> None:
    named = items.frame.filter(pl.col("picture").is_not_null()).select(ROW, "item_id", "picture")
    missing = source.missing(named["picture"]) if source else set(named["picture"])
    if missing:
        row, item_id, picture = named.filter(pl.col("picture").is_in(list(missing))).row(0)
        raise DataError(
            f'{items.place(row)}: item "{item_id}" names missing image "{picture}"; '
            "fix the path or leave the field empty"
        )


def check_kept_pictures(
    items: Rows, source: PictureSource, check: PictureCheck, *, show_progress: bool
) -> tuple[str, ...]:
    """Decode the pictures of `items`; DataError names the first that is broken, truncated or too large."""
    pictured = items.frame.filter(pl.col("picture").is_not_null()).select(ROW, "item_id", "picture")
    total = pictured.height
    chosen = pictured if check == "all" else pictured.gather_every(max(1, -(-total // SAMPLE)))
    if check == "none":
        return (f"none of the {total} pictures was decoded to check it",) if total else ()
    rows, item_ids, references = (chosen[name].to_list() for name in (ROW, "item_id", "picture"))
    with progress_bar("checking pictures", len(references), show=show_progress) as bar:
        for row, item_id, (reference, data) in zip(rows, item_ids, source.read(references), strict=True):
            open_picture(data, f'{items.place(row)}: item "{item_id}", {source.path.name}/{reference}')
            bar.advance()
    if chosen.height == total:
        return ()
    return (f"{chosen.height} of {total} pictures were decoded to check them; --check-pictures all does all",)


def undecodable_pictures(
    source: PictureSource, references: Sequence[str], *, show_progress: bool
) -> list[str]:
    """What is wrong with each of `references` that cannot be read or decoded."""
    absent = source.missing(references)
    problems = [f"{source.path}/{reference}: no such picture" for reference in sorted(absent)]
    present = [reference for reference in references if reference not in absent]
    pictures = iter(source.read(present))
    with progress_bar("checking pictures", len(present), show=show_progress) as bar:
        for done, reference in enumerate(present, start=1):
            bar.advance()
            try:
                _, data = next(pictures)
            except DataError as error:
                problems.append(str(error))
                pictures = iter(source.read(present[done:]))  # the pass has ended: begin one behind it
                continue
            try:
                open_picture(data, f"{source.path}/{reference}")
            except DataError as error:
                problems.append(str(error))
    return problems
