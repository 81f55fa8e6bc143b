"""The readers of tables and pictures against mutated files: no traceback, no hang, bounded memory.

    python benchmarks/data/fuzz_tables.py [--tables 10000] [--pictures 10000] [--seed 0] [--keep DIR]
        [--commit NAME] [--out FILE.json]

Hypothesis draws every table: a good shop in some dialect, as CSV or JSON, then mutations of its bytes, fields
and rows, and options; and every picture: small ones of all formats and modes, then mutations of their bytes.
A picture must come out in RGB, or as an error of UniMP on one line. Each table is imported in this process,
which may take MEMORY; that must end as a data folder that opens, or as an error of UniMP on one line that
leaves nothing behind. Anything else is printed, once per place.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from PIL import Image

from unimp.core.errors import UnimpError
from unimp.data.importing import import_dataset
from unimp.data.pictures import MAX_PIXELS, open_picture, reading_mark
from unimp.data.raw import ImportOptions

SECONDS = 30
"""Of the processor, for one input: on a busy machine the clock says nothing."""
MEMORY = 8 << 30
"""Address space of the process: its threads' stacks and pools are most of it."""
VALUES = [
    *(
        "",
        " ",
        "NULL",
        "nan",
        "-",
        "0",
        "-1",
        "1e308",
        "inf",
        "1,5",
        "1.234,56",
        "$3",
        '"',
        '""',
        "'",
        "\\N",
        "#N/A",
    ),
    *(
        "2020-09-16",
        "2020-09-16 12:30:00+02:00",
        "16/9/2020",
        "1/2/2020",
        "1600000000",
        "1600000000000",
        "20200916",
    ),
    *(
        "9" * 30,
        "0x10",
        "true",
        "[1, 2]",
        '["a", "b"]',
        "{}",
        "a|b||c",
        "<p>x</p>",
        "&amp;",
        "&#xD800;",
        "&#0;",
        "é",
    ),
    *(
        "日本",
        "\u202e",
        "\ufeff",
        "\0",
        "\x1a",
        "a\nb",
        "a\rb",
        "a\r\nb",
        "x" * 500,
        "=1+1",
        "m1",
        "m1.0",
        "M1",
        " m1",
    ),
    *(
        "2020-09-16T12:30:00.123456789Z",
        "Wed, 16 Sep 2020 12:30:00 GMT",
        "Sep 16, 2020",
        "44090.5",
        "2020-W38-3",
    ),
]
BYTES = [
    b"",
    b"\0",
    b"\xff",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b'"',
    b"\n",
    b"\r",
    b",",
    b";",
    b"\t",
    b"PK\x03\x04",
    b"\xc3",
]
HEADERS = [
    "",
    " ",
    "item_id",
    "title",
    "_row",
    "_wrong",
    "\0row",
    "a,b",
    "Item_ID",
    "timestamp",
    "user",
    "é",
    '"',
]
OPTIONS: dict[str, list[Any]] = {
    "map": [
        ("title=category",),
        ("title=categories",),
        ("title=number",),
        ("price=number",),
        ("price=picture",),
    ],
    "time_format": ["%Y-%m-%d", "seconds", "excel", "%d/%m/%Y %H:%M"],
    "delimiter": [";", "tab", ","],
    "encoding": ["latin-1", "utf-16", "utf-8", "shift-jis", "utf-7"],
    "decimal": [",", "."],
    "where": ["user_id = 'u1'", "rating > 2", "timestamp is not null"],
    "deduplicate": ["exact", "first", "last"],
    "undated": ["file"],
    "rating_scale": ["0:5:0.5", "1:10:1"],
}
"""Options and what they may be; each is mostly not given."""


@st.composite
def tables(draw: DrawFn) -> tuple[bytes, bytes, dict[str, Any]]:
    """Items, events and options."""
    items = [["item_id", "title", "price"]] + [[f"m{n}", f"thing {n}", f"{n}.5"] for n in range(6)]
    events = [["user_id", "item_id", "timestamp", "rating"]] + [
        [f"u{n % 2}", f"m{n % 6}", str(1_600_000_000 + n), str(1 + n % 5)] for n in range(10)
    ]
    given_options: dict[str, Any] = {"max_bad_rows": draw(st.sampled_from([0, 3, 1_000_000, 1_000_000]))}
    for name, choices in OPTIONS.items():
        if draw(st.integers(0, 11)) == 0:
            given_options[name] = draw(st.sampled_from(choices))
    files = [draw(mutated(table)) for table in (items, events)]
    return files[0], files[1], given_options


@st.composite
def mutated(draw: DrawFn, table: list[list[str]]) -> bytes:
    """The bytes of a table with some fields, rows and bytes changed."""
    rows = [list(row) for row in table]
    for _ in range(draw(st.integers(0, 3))):
        row = rows[draw(st.integers(0, len(rows) - 1))]
        if row:
            known = HEADERS if row is rows[0] and draw(st.booleans()) else VALUES
            value = st.one_of(st.sampled_from(known), st.text(max_size=20))
            row[draw(st.integers(0, len(row) - 1))] = draw(value)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(rows) - 1))
        change = draw(st.sampled_from(["drop", "repeat", "blank", "short", "long", "none"]))
        rows[at : at + 1] = {
            "drop": [], "repeat": [rows[at], rows[at]], "blank": [[], rows[at]], "short": [rows[at][:1]],
            "long": [[*rows[at], "more"]], "none": [rows[at]],
        }[change]  # fmt: skip
        rows = rows or [[]]
    if draw(st.integers(0, 9)) == 0:
        return broken(draw, as_json(rows, listed=draw(st.booleans())).encode("utf-8", "replace"))
    mark = draw(st.sampled_from([",", ",", ";", "\t", "|", "||"]))
    quoted = draw(st.sampled_from(["never", "needed", "always", "backslash"]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    text = end.join(mark.join(field(value, mark, quoted) for value in row) for row in rows) + draw(
        st.sampled_from(["", end, end + end])
    )
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    return broken(draw, text.encode(encoding, "replace"))


def as_json(rows: list[list[str]], *, listed: bool) -> str:
    """A list of objects, or an object a line."""
    objects = [json.dumps(dict(zip(rows[0], row, strict=False))) for row in rows[1:]]
    return f"[{', '.join(objects)}]" if listed else "\n".join(objects)


def broken(draw: DrawFn, data: bytes) -> bytes:
    """A few bytes changed, or packed and cut off."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from(BYTES)) + data[at + draw(st.integers(0, 3)) :]
    return gzip.compress(data)[: draw(st.integers(10, 400))] if draw(st.integers(0, 30)) == 0 else data


def field(value: str, mark: str, quoted: str) -> str:
    if quoted == "backslash" and '"' in value:
        return '"' + value.replace('"', '\\"') + '"'
    if quoted == "always" or (quoted == "needed" and any(sign in value for sign in (mark, '"', "\n", "\r"))):
        return '"' + value.replace('"', '""') + '"'
    return value


def attempt(items: bytes, events: bytes, options: dict[str, Any]) -> str:
    """How the import of a table ends: `imported`, or the first words of the error."""
    with tempfile.TemporaryDirectory() as folder:
        shop, out = Path(folder) / "shop", Path(folder) / "out"
        shop.mkdir()
        for name, data in (("items", items), ("events", events)):
            ending = "json" if data[:1] in b"[{" and data else "csv"
            (shop / f"{name}.{ending}").write_bytes(data)
        try:
            import_dataset("csv", shop, out, ImportOptions.parse(options, "fuzz"))
        except UnimpError as error:
            if "\n" in str(error) or len(str(error)) > 4000:
                raise AssertionError(
                    f"an error of several lines, or too long: {str(error)[:300]!r}"
                ) from error
            if sorted(path.name for path in Path(folder).iterdir()) != ["shop"]:
                raise AssertionError("something was left behind") from error
            return type(error).__name__
        return "imported"


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr")
SAVED = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def whole_pictures() -> list[bytes]:
    """A small picture of every mode in every format that takes it, turned by EXIF and animated too."""
    found = []
    for mode in MODES:
        for form in SAVED:
            image = Image.new(mode, (24, 16), 90)
            exif = Image.Exif()
            exif[0x0112] = 6
            for further in ({}, {"exif": exif}, {"save_all": True, "append_images": [image]}):
                buffer = io.BytesIO()
                try:
                    image.save(buffer, form, **further)
                except (OSError, ValueError, TypeError, KeyError, AttributeError):
                    continue
                found.append(buffer.getvalue())
    return found


@st.composite
def pictures(draw: DrawFn, whole: list[bytes]) -> bytes:
    """The bytes of a picture, a few of them changed, doubled or gone."""
    data = draw(st.sampled_from(whole))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.sampled_from([0, 1, 2, 4, 40]))
        change = draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b"", b"\xff" * 4, b"\0" * 4, data[at:end] * 2]))
        )
        data = data[:at] + change + data[end:]
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


def attempt_picture(data: bytes) -> str:
    """How reading a picture ends: `read`, or the kind of the error."""
    reading_mark(data)
    try:
        image = open_picture(data, "picture")
    except UnimpError as error:
        if "\n" in str(error) or len(str(error)) > 400:
            raise AssertionError(f"an error of several lines, or too long: {str(error)[:300]!r}") from error
        return type(error).__name__
    if image.mode != "RGB" or image.width * image.height > MAX_PIXELS:
        raise AssertionError(f"{image.mode}, {image.size}")
    return "read"


def late(signum: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"took more than {SECONDS} processor seconds")


def place_of(error: BaseException) -> str:
    """Where an error comes from: the last line of UniMP's own on the way."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/unimp/" in frame.filename]
    last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def fuzz(
    drawn_from: st.SearchStrategy[Any],
    attempt: Callable[..., str],
    count: int,
    number: int,
    keep: Path | None,
) -> dict[str, Any]:
    """Try `count` inputs drawn from the seed `number`; what came of them."""
    ends: Counter[str] = Counter()
    failures: dict[str, str] = {}
    slowest = 0.0

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn_from)
    def run(drawn: Any) -> None:
        nonlocal slowest
        started = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            ends[attempt(*drawn) if isinstance(drawn, tuple) else attempt(drawn)] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            place = place_of(error)
            ends["failed"] += 1
            if place not in failures:
                failures[place] = str(error)[:300]
                print(f"{place}: {str(error)[:300]!r}\n  {drawn!r}", flush=True)
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{attempt.__name__}-{len(failures)}.txt").write_text(repr((place, drawn)))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        slowest = max(slowest, time.process_time() - started)

    run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "inputs": sum(ends.values()),
        "seed": number,
        "ends": dict(ends),
        "failures": failures,
        "slowest_seconds": round(slowest, 2),
        "peak_mib": peak,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="Folder for the tables that failed.")
    parser.add_argument("--commit", default="", help="Of the code, for the result file.")
    parser.add_argument("--out", type=Path, help="Result file, to which runs are added.")
    given_arguments = parser.parse_args()
    signal.signal(signal.SIGPROF, late)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    number, keep = given_arguments.seed, given_arguments.keep
    result: dict[str, Any] = {
        "commit": given_arguments.commit,
        "tables": fuzz(tables(), attempt, given_arguments.tables, number, keep),
        "pictures": fuzz(pictures(whole_pictures()), attempt_picture, given_arguments.pictures, number, keep),
    }
    print(json.dumps(result, indent=2))
    if given_arguments.out is not None:
        out = given_arguments.out
        out.parent.mkdir(parents=True, exist_ok=True)
        runs = json.loads(out.read_text())["runs"] if out.exists() else []
        out.write_text(json.dumps({"runs": [*runs, result]}, indent=2) + "\n")
    sys.exit(any(result[kind]["failures"] for kind in ("tables", "pictures")))


if __name__ == "__main__":
    main()
