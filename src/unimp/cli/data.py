"""`unimp data import` and `unimp data check`."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from unimp.cli.engine import Engine, check_engine
from unimp.core.errors import ConfigError, DataError
from unimp.data.sources import OWN, SOURCES

if TYPE_CHECKING:
    from unimp.data.dataset import Manifest
    from unimp.data.event_log import Sorter

data = typer.Typer(help="Import a dataset, or check one.", no_args_is_help=True)

SOURCE_HELP = "One of: " + "; ".join(f"{name} ({entry.help})" for name, entry in OWN.items())
SOURCE_HELP += "; or a source of an installed package."
CORE_HELP = (
    "Keep users and items with at least so many events, repeatedly; 0 keeps all. Default: "
    + ", ".join(f"{entry.k_core} for {name}" for name, entry in OWN.items())
)
REPEATS_HELP = (
    "Of a user's repeated events with one item keep the first or the last; none drops none. Default: "
    + ", ".join(
        f"{entry.deduplicate} for {name}" for name, entry in OWN.items() if entry.deduplicate != "none"
    )
    + ", none elsewhere."
)


def register(app: typer.Typer) -> None:
    app.add_typer(data, name="data")


@data.command("import")
# One parameter per option makes it long; the body is short.
def import_(
    source: str = typer.Argument(help=SOURCE_HELP),
    path: Path = typer.Argument(help="The dataset's folder or file."),
    out: Path = typer.Option(..., "--out", help="The data folder to write."),
    k_core: int | None = typer.Option(None, "--k-core", help=CORE_HELP),
    deduplicate: str | None = typer.Option(None, "--deduplicate", help=REPEATS_HELP),
    max_bad_rows: int = typer.Option(0, "--max-bad-rows", help="So many unusable rows are dropped and said."),
    keep_unseen_items: bool = typer.Option(False, "--keep-unseen-items", help="Keep items without events."),
    check_pictures: str = typer.Option(
        "sample", "--check-pictures", help="Decode all | sample (4000 at most) | none of the pictures."
    ),
    pictures: Path | None = typer.Option(None, "--pictures", help="Folder or zip of pictures."),
    transactions: str | None = typer.Option(None, "--transactions", help="hm: which transaction file."),
    items: str | None = typer.Option(
        None, "--items", help="The file of items, where the layout leaves a choice."
    ),
    events: list[str] = typer.Option(
        [],
        "--events",
        help="The file of events; csv: also globs, folders, several; retailrocket: kinds of events.",
    ),
    map_: list[str] = typer.Option([], "--map", help="csv: column=role; repeat it (docs/data.md)."),
    mapping: Path | None = typer.Option(None, "--mapping", help="csv: the mapping as a TOML file."),
    rating_scale: str | None = typer.Option(None, "--rating-scale", help="csv: LOW:HIGH:STEP (1:5:1)."),
    separator: str | None = typer.Option(
        None, "--separator", help="csv: what parts the values of a categories column (|)."
    ),
    delimiter: str | None = typer.Option(None, "--delimiter", help="csv: what parts fields, or tab."),
    encoding: str | None = typer.Option(
        None, "--encoding", help="csv: such as latin-1; else UTF-8 or UTF-16."
    ),
    decimal: str | None = typer.Option(
        None, "--decimal", help="csv: the decimal sign of numbers, . or a comma."
    ),
    time_format: str | None = typer.Option(
        None, "--time-format", help='csv: seconds | ms | us | ns | excel, or signs such as "%d/%m/%Y %H:%M".'
    ),
    where: str | None = typer.Option(
        None, "--where", help="csv: which events count, as an SQL condition: \"event = 'purchase'\"."
    ),
    kinds: str | None = typer.Option(
        None, "--kinds", help="csv: kinds of events that count, parted by commas; needs --map COLUMN=kind."
    ),
    undated: str | None = typer.Option(
        None, "--undated", help="csv: random | file: the order of events in a table without times (random)."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the data folder at --out."),
    engine: Engine = typer.Option(
        Engine.local, "--engine", help="local, or ray: a log too large for memory is sorted by a cluster."
    ),
    address: str | None = typer.Option(
        None, "--address", help="ray: HOST:PORT of the cluster; default: one of this machine."
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON document on standard output."),
) -> None:
    """Read SOURCE from PATH, validate and filter it, and write a data folder."""
    # Long by its options, which typer reads from the signature; the work is in the functions it calls.
    check_engine(engine, address=address)
    given: dict[str, Any] = {
        "k_core": k_core,
        "deduplicate": deduplicate,
        "pictures": pictures,
        "transactions": transactions,
        "items": items,
        "events": events[0] if events else None,
        "further_events": tuple(events[1:]) or None,
        "map": tuple(map_) or None,
        "mapping": mapping,
        "rating_scale": rating_scale,
        "separator": separator,
        "delimiter": delimiter,
        "encoding": encoding,
        "decimal": decimal,
        "time_format": time_format,
        "where": where,
        "kinds": kinds,
        "undated": undated,
    }
    always = {
        "max_bad_rows": max_bad_rows,
        "keep_unseen_items": keep_unseen_items,
        "check_pictures": check_pictures,
    }
    options_given = accepted(source, given) | always
    from unimp.data.importing import import_folder
    from unimp.data.raw import ImportOptions

    options = ImportOptions.parse(options_given, f"unimp data import {source}")
    with sorter(engine, address) as sort:
        manifest = import_folder(
            source, path, out, options, overwrite=overwrite, show_progress=True, sort=sort
        )
    show_import(manifest, out, as_json)


def sorter(engine: Engine, address: str | None) -> AbstractContextManager[Sorter | None]:
    """What sorts a log that is too large for memory; None: this process."""
    if engine is Engine.local:
        return nullcontext()
    from unimp.scale.importing import cluster_sorter

    return cluster_sorter(address, show=True)


def show_import(manifest: Manifest, out: Path, as_json: bool) -> None:
    counts = manifest.counts
    if as_json:
        document = {
            "folder": str(out),
            "source": manifest.source,
            "data_hash": manifest.data_hash,
            "counts": counts,
            "notes": manifest.notes,
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{out}: {counts['users']:,} users, {counts['items']:,} items, {counts['events']:,} events")
    typer.echo(f"  next: unimp train --data {out} --out {out.with_name(f'{out.name}-run')}")
    for note in manifest.notes:
        typer.echo(f"  {note}")


def accepted(source: str, given: dict[str, Any]) -> dict[str, Any]:
    """The source's default filters with the options that were `given`; one that is not for it is an error."""
    entry = SOURCES.find(source)
    taken = {"k_core", "deduplicate", *entry.options}
    present = {name: value for name, value in given.items() if value is not None}
    for name in present:
        if name not in taken:
            shown = "events" if name == "further_events" else name.replace("_", "-")
            raise ConfigError(f"--{shown}: not an option of source {source}; leave it out")
    return {"k_core": entry.k_core, "deduplicate": entry.deduplicate} | present


@data.command("check")
def check(
    folder: Path = typer.Argument(help="A data folder."),
    decode: bool = typer.Option(True, "--decode/--no-decode", help="Decode every picture."),
    as_json: bool = typer.Option(False, "--json", help="One JSON document on standard output."),
) -> None:
    """Verify a data folder and say what is in it; exit status 2 when it is damaged."""
    from dataclasses import asdict

    from unimp.data.check import check_dataset, report_lines

    report = check_dataset(folder, decode=decode, show_progress=True)
    if as_json:
        typer.echo(json.dumps(asdict(report) | {"passed": report.passed}, indent=2, ensure_ascii=False))
    else:
        for line in report_lines(report):
            typer.echo(line)
    if not report.passed:
        broken = report.undecodable_pictures
        raise DataError(f"{folder}: {len(broken)} undecodable picture(s), the first: {broken[0]}")


@data.command("fetch-pictures")
def fetch(
    folder: Path = typer.Argument(help="A data folder whose items have pictures on the web."),
    parallel: int = typer.Option(8, min=1, max=64, help="Hosts asked at once, each for one at a time."),
    delay: float = typer.Option(0.1, min=0.0, help="Seconds between two questions to one host."),
    max_mib: float = typer.Option(20.0, min=0.001, help="Largest picture."),
    timeout: float = typer.Option(30.0, min=0.1, help="Seconds that one picture may take."),
    allow_private: bool = typer.Option(False, "--allow-private", hidden=True, help="For tests."),
    as_json: bool = typer.Option(False, "--json", help="One JSON document on standard output."),
) -> None:
    """Fetch the pictures that the items have on the web; what is there is not asked for again."""
    from dataclasses import asdict

    from unimp.data.fetching import fetch_pictures
    from unimp.data.picture_hosts import FetchOptions

    options = FetchOptions(
        parallel=parallel, delay=delay, max_mib=max_mib, timeout=timeout, allow_private=allow_private
    )
    report = fetch_pictures(folder, options, show_progress=True)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2, ensure_ascii=False))
        return
    typer.echo(
        f"{folder}: {report.fetched:,} fetched, {report.there:,} were there, {len(report.failed):,} failed"
    )
    typer.echo(f"  {report.items:,} item(s) have a picture, {report.without:,} of the web's have none")
    if report.placeholders:
        typer.echo(f"  {report.placeholders:,} item(s) share placeholder pictures, which are left out")
    for reason, count in report.causes.most_common(5):
        first = next(address for address, why in report.failed.items() if why == reason)
        typer.echo(f"  {count:,} × {reason}, the first: {first}")
    if report.failed and not report.fetched + report.there:
        raise DataError(f"{folder}: none of {len(report.failed):,} picture(s) could be fetched")
