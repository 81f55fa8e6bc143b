"""Which picture belongs to which item, and whether it can be decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import polars as pl

from unimp.core.errors import DataError
from unimp.core.progress import progress_bar
from unimp.data.picture_cells import PictureFinder, is_web, joined, lies_beside, split_cell
from unimp.data.pictures import ENDINGS, LAST_CHOICE, PictureSource, open_picture
from unimp.data.placeholders import find_placeholders
from unimp.data.raw import ROW, BadRows, PictureCheck, Rows

SAMPLE = 4000
"""`--check-pictures sample` decodes at most so many, evenly spread over the catalogue."""
USUAL_PICTURES = ("pictures", "pictures.zip", "images", "images.zip")
"""Where a shop's pictures lie, unless it is said."""
LISTED = "pictures.parquet"
"""In a data folder, every picture that the table of items named."""
LISTED_COLUMNS: dict[str, pl.DataType] = {
    "item_id": pl.String(),
    "place": pl.Int64(),
    "reference": pl.String(),
    "web": pl.Boolean(),
}
"""`place` counts an item's pictures from 0; `reference` is as the table has it."""


@dataclass(frozen=True)
class Pictured:
    """Items with their `picture`, null where none can be used; and all that the table named."""

    items: Rows
    source: PictureSource | None
    counts: dict[str, int]
    notes: tuple[str, ...] = ()
    listed: pl.DataFrame | None = None
    """LISTED_COLUMNS; None where the table names no picture."""

    def write_listed(self, folder: Path) -> None:
        """Keep what the table named: `unimp data fetch-pictures` and later versions read it."""
        if self.listed is not None and self.listed.height:
            self.listed.write_parquet(folder / LISTED, compression="zstd")


def find_pictures(given: Path | None, folder: Path, usual: Sequence[str]) -> PictureSource | None:
    """The folder or zip that was given, or the first of the `usual` names that exists in `folder`."""
    beside = folder if folder.is_dir() else None
    if given is not None:
        if not given.exists():
            raise DataError(f"{given}: no such folder or zip of pictures; correct --pictures")
        return PictureSource(given, beside=beside)
    return next(
        (PictureSource(folder / name, beside=beside) for name in usual if (folder / name).exists()), None
    )


def attach_pictures(
    items: Rows,
    source: PictureSource | None,
    check: PictureCheck,
    bad: BadRows,
    *,
    title: str | None = None,
    show_progress: bool = False,
) -> Pictured:
    """Items with their `picture`: as the table names it, else the file that is called like the item's id.

    A picture that the table names must exist, and every one must be decodable: else it is a bad row and the
    item goes without. One that is looked up by id may be missing, and is counted; web addresses are not
    fetched, and placeholders are left out. `title` is the column of titles.
    """
    if "picture" in items.frame.columns:
        found = named_pictures(items, source, bad)
    else:
        found = pictures_of_ids(items, source)
    if found.source is not None:
        found = without_placeholders(found, title)
        found = without_broken(found, check, bad, show_progress=show_progress)
    absent, total = found.items.frame["picture"].null_count(), found.items.frame.height
    web = found.counts.get("pictures_on_the_web", 0)
    notes = found.notes
    if absent == total and not web:
        by_id = found.listed is None and source is not None and not notes
        where = f": none in {source.path.name} is called like an item" if by_id and source else ""
        notes += (f"no item has a picture{where}",)
    elif absent:
        notes += (f"{absent} item(s) without a picture",)
    if web:
        notes += (
            f"{web} item(s) have their pictures on the web, which an import does not fetch: "
            "`unimp data fetch-pictures OUT` does, or give a folder of them with --pictures",
        )
    counts = {"pictures": total - absent, "pictures_missing": absent} | found.counts
    # a data folder without pictures need not keep the folder where it looked for them
    return replace(found, source=found.source if absent < total else None, counts=counts, notes=notes)


def pictures_of_ids(items: Rows, source: PictureSource | None) -> Pictured:
    by_id = pictures_by_id(source) if source is not None else {}
    column = pl.Series("picture", [by_id.get(item_id) for item_id in items.frame["item_id"]], pl.String)
    return Pictured(Rows(items.file, items.frame.with_columns(column)), source, {})


def pictures_by_id(source: PictureSource) -> dict[str, str]:
    """File name without suffix -> reference; of several, the first that can be read, by the alphabet."""
    found: dict[str, str] = {}
    names = [PurePosixPath(reference) for reference in source.names()]
    for name in sorted(names, key=lambda name: (name.suffix.lower() in LAST_CHOICE, name), reverse=True):
        if name.suffix.lower() in ENDINGS:
            found[name.stem] = name.as_posix()
    return found


def named_pictures(items: Rows, source: PictureSource | None, bad: BadRows) -> Pictured:
    """Of the pictures that each item names, the first that is there."""
    cells = [split_cell(text) if text is not None else [] for text in items.frame["picture"]]
    found = locate(source, dict.fromkeys(name for cell in cells for name in cell))
    web_only, chosen = 0, list[str | None]()
    by_id: dict[str, str] | None = None
    for row, item_id, cell in zip(items.frame[ROW], items.frame["item_id"], cells, strict=True):
        present = next((found.names[name] for name in cell if name in found.names), None)
        if cell and present is None and is_web(cell[0]) and source is not None:
            by_id = pictures_by_id(source) if by_id is None else by_id
            present = found.renamed(by_id.get(item_id))
        chosen.append(present)
        if not cell or present is not None:
            continue
        if any(is_web(name) for name in cell):
            web_only += 1
        else:
            bad.add(
                f'{items.place(row)}: item "{item_id}" names missing image "{cell[0]}"; '
                "fix the path or leave the field empty",
                "missing picture",
            )
    listed = pl.DataFrame(
        [
            (item_id, place, name, is_web(name))
            for item_id, cell in zip(items.frame["item_id"], cells, strict=True)
            for place, name in enumerate(cell)
        ],
        schema=LISTED_COLUMNS,
        orient="row",
    )
    several = sum(len(cell) > 1 for cell in cells)
    local = sum(is_web(name) for name in found.names)
    notes = []
    if several:
        notes.append(f"{several} item(s) name several pictures: the first of each is used, all are kept")
    if local and source is not None:
        notes.append(f"{local} web address(es) go by the file of the same name in {source.path.name}")
    frame = items.frame.with_columns(pl.Series("picture", chosen, pl.String))
    counts = {"pictures_on_the_web": web_only} if web_only else {}
    return Pictured(Rows(items.file, frame), found.source, counts, tuple(notes), listed)


@dataclass(frozen=True)
class Located:
    """Where the named pictures lie."""

    source: PictureSource | None
    names: dict[str, str]
    """What the table says -> member of `source`."""
    prefix: str = ""
    """What members of the first source begin with in `source`."""

    def renamed(self, member: str | None) -> str | None:
        return None if member is None else self.prefix + member


def locate(source: PictureSource | None, names: Iterable[str]) -> Located:
    """Members for `names`; where some are relative to the table, its folder becomes the source of all."""
    if source is None:
        return Located(None, {})
    finder = PictureFinder(source)
    inside = {name: member for name in names if (member := finder.find(name)) is not None}
    outside = [name for name in names if name not in inside and lies_beside(source, name)]
    wider = joined(source) if outside else None
    if wider is None:
        return Located(source, inside)
    root, prefix = wider
    members = {name: prefix + member for name, member in inside.items()}
    return Located(root, members | {name: PurePosixPath(name).as_posix() for name in outside}, prefix)


def without_placeholders(pictured: Pictured, title: str | None) -> Pictured:
    """Without the pictures that many items share though they have nothing in common."""
    frame = pictured.items.frame
    titles = frame[title].to_list() if title is not None and title in frame.columns else None
    assert pictured.source is not None
    groups = find_placeholders(pictured.source, frame["picture"].to_list(), titles)
    if not groups:
        return pictured
    gone = {place for group in groups for place in group.items}
    names = ", ".join(f"{group.reference} ({len(group.items)})" for group in groups[:3])
    note = f"{len(gone)} item(s) share placeholder pictures, which are left out: {names}"
    kept = [None if place in gone else name for place, name in enumerate(frame["picture"])]
    return replace(
        pictured,
        items=Rows(pictured.items.file, frame.with_columns(pl.Series("picture", kept, pl.String))),
        counts=pictured.counts | {"placeholder_pictures": len(gone)},
        notes=(*pictured.notes, note),
    )


def without_broken(pictured: Pictured, check: PictureCheck, bad: BadRows, *, show_progress: bool) -> Pictured:
    """Decode pictures; one that is broken, truncated or too large is a bad row, and is left out."""
    items, source = pictured.items, pictured.source
    assert source is not None
    named = items.frame.filter(pl.col("picture").is_not_null()).select(ROW, "item_id", "picture")
    total = named.height
    if check == "none":
        said = (f"none of the {total} pictures was decoded to check it",) if total else ()
        return replace(pictured, notes=pictured.notes + said)
    chosen = named if check == "all" else named.gather_every(max(1, -(-total // SAMPLE)))
    rows, item_ids, references = (chosen[name].to_list() for name in (ROW, "item_id", "picture"))
    broken: list[str] = []
    with progress_bar("checking pictures", len(references), show=show_progress) as bar:
        for row, item_id, (reference, data) in zip(
            rows, item_ids, each_picture(source, references), strict=True
        ):
            place = f'{items.place(row)}: item "{item_id}", {source.path.name}/{reference}'
            problem = str(data) if isinstance(data, DataError) else decoding_problem(data, place)
            if problem:
                bad.add(problem, "broken picture")
                broken.append(item_id)
            bar.advance()
    if broken:
        kept = pl.when(~pl.col("item_id").is_in(broken)).then(pl.col("picture")).alias("picture")
        items = Rows(items.file, items.frame.with_columns(kept))
    notes = pictured.notes
    if chosen.height < total:
        notes += (
            f"{chosen.height} of {total} pictures were decoded to check them; --check-pictures all does all",
        )
    counts = {"pictures_broken": len(broken)} if broken else {}
    return replace(pictured, items=items, counts=pictured.counts | counts, notes=notes)


def decoding_problem(data: bytes, place: str) -> str:
    """What is wrong with a picture; empty when it can be decoded."""
    try:
        open_picture(data, place)
    except DataError as error:
        return str(error)
    return ""


def each_picture(source: PictureSource, references: Sequence[str]) -> Iterator[tuple[str, bytes | DataError]]:
    """Every picture's bytes, or what is wrong with that one; the others are read all the same."""
    pictures = iter(source.read(references))
    for done, reference in enumerate(references, start=1):
        try:
            yield next(pictures)
        except DataError as error:
            yield reference, error
            pictures = iter(source.read(references[done:]))  # the pass has ended: begin one behind it


def undecodable_pictures(
    source: PictureSource, references: Sequence[str], *, show_progress: bool
) -> list[str]:
    """What is wrong with each of `references` that cannot be read or decoded."""
    absent = source.missing(references)
    problems = [f"{source.path}/{reference}: no such picture" for reference in sorted(absent)]
    present = [reference for reference in references if reference not in absent]
    with progress_bar("checking pictures", len(present), show=show_progress) as bar:
        for reference, data in each_picture(source, present):
            bar.advance()
            if isinstance(data, DataError):
                problems.append(str(data))
            elif problem := decoding_problem(data, f"{source.path}/{reference}"):
                problems.append(problem)
    return problems
