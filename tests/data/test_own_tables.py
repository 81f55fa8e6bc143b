"""One's own tables as shops export them, from the file to the data folder."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas
import polars as pl
import pyarrow
import pytest

import unimp
from tests.data.csv_shop import import_from
from unimp.core.errors import ConfigError, DataError
from unimp.data import csv_reading, json_lists, reading, tables
from unimp.data.dataset import Dataset
from unimp.data.raw import ROW, BadRows

ITEMS = "item_id,title,price\nm1,Mug,3.50\nm2,Größe L,4.25\nm3,Jug,12.00\n"
EVENTS = (
    "user_id,item_id,timestamp\nann,m3,2021-03-01\nann,m1,2021-01-01\nann,m2,2021-02-01\nbob,m2,2021-02-01\n"
)
MAP = ("price=number",)


def shop(
    folder: Path, items: str | bytes = ITEMS, events: str | bytes = EVENTS, file: str = "items.csv"
) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in ((file, items), ("events.csv", events)):
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def as_read(dataset: Dataset) -> tuple[list[object], list[tuple[str, str]]]:
    items = dataset.catalog.items.select("item_id", "title", "price").rows()
    ids = dataset.catalog.item_ids
    events = dataset.interactions.events
    return list(items), [
        (user, ids[row]) for user, row in zip(events["user_id"], events["item_row"], strict=True)
    ]


EXPECTED = (
    [("m1", "Mug", 3.5), ("m2", "Größe L", 4.25), ("m3", "Jug", 12.0)],
    [("ann", "m1"), ("ann", "m2"), ("ann", "m3"), ("bob", "m2")],
)


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("folder/export.csv", data)
    return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def stream_of_arrow(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer)
    return buffer.getvalue()


WAYS: dict[str, Callable[[str], bytes]] = {
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "bars": lambda text: text.replace(",", "|").encode(),
    "sep line": lambda text: ("sep=;\n" + text.replace(",", ";")).encode(),
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "blanks in the header": lambda text: text.replace(",", " , ", 2).encode(),
    "leading blank lines": lambda text: ("\n  \n,,\n" + text).encode(),
    "rows of separators": lambda text: (text.replace("\n", "\n,,\n\n ,, \n") + ",\n,,,,\n").encode(),
    "trailing commas": lambda text: text.replace("\n", ",\n").encode(),
    "trailing commas but in the header": lambda text: (
        text.replace("\n", ",\n").replace(",\n", "\n", 1).encode()
    ),
    "index of pandas": lambda text: "".join(
        f"{number - 1 if number else ''},{line}\n" for number, line in enumerate(text.splitlines())
    ).encode(),
    "comments above": lambda text: ("# made by us, in May\n# twice\n" + text).encode(),
    "JSON under another name": lambda text: json.dumps(pl.read_csv(text.encode()).to_dicts()).encode(),
    "objects over lines": lambda text: "\n".join(
        json.dumps(row, indent=2) for row in pl.read_csv(text.encode()).to_dicts()
    ).encode(),
    "objects side by side": lambda text: "".join(
        map(json.dumps, pl.read_csv(text.encode()).to_dicts())
    ).encode(),
    "a stream of Arrow": lambda text: stream_of_arrow(pl.read_csv(text.encode())),
    "no break at the end": lambda text: text.rstrip().encode(),
    "quotes": lambda text: "\n".join(
        ",".join(f'"{field}"' for field in line.split(",")) for line in text.splitlines()
    ).encode(),
    "gzip": lambda text: gzip.compress(text.encode()),
    "bzip2": lambda text: bz2.compress(text.encode()),
    "xz": lambda text: lzma.compress(text.encode()),
    "zstd": lambda text: zstd(text.encode()),
    "zip": lambda text: zipped(text.encode()),
    "decimal commas": lambda text: text.replace(",", ";").replace(".", ",").encode(),
    "currencies": lambda text: text.replace("3.50", "€ 3.50").replace("4.25", "4.25 EUR").encode(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_table_as_people_have_it(tmp_path: Path, way: str) -> None:
    folder = shop(tmp_path / "shop", WAYS[way](ITEMS), WAYS[way](EVENTS))
    assert as_read(import_from("csv", folder, tmp_path / "out", map=MAP)) == EXPECTED


@pytest.mark.parametrize(
    ("items", "titles"),
    [
        ('item_id,title\nm1,12" pipe\nm2,x\nm3,y\n', ['12" pipe', "x", "y"]),
        ('item_id,title\nm1,"12\\" pipe, long"\nm2,x\nm3,"a \\"b\\""\n', ['12" pipe, long', "x", 'a "b"']),
        ('item_id,title\nm1,"C:\\dir\\"\nm2,"a ""b"""\nm3,y\n', ["C:\\dir\\", 'a "b"', "y"]),
        ("item_id,title\nm1,x,,\nm2,y\nm3,z, ,\n", ["x", "y", "z"]),
        ("item_id,title,\nm1,x\nm2,y\nm3,z\n", ["x", "y", "z"]),
        ("item_id||title||\nm1||x||\nm2||y||\nm3||z||\n", ["x", "y", "z"]),
        (
            "Stock list, May\n\nitem_id,title\nm1,x\n".replace(", May", " of May") + "m2,y\nm3,z\n",
            ["x", "y", "z"],
        ),
        ("Item ID,Title\nm1,x\nm2,y\nm3,z\n", ["x", "y", "z"]),
        ("item_id,title\nm1,x\nm2,y\nm1,x\nm3,z\n\x1a", ["x", "y", "z"]),
    ],
)
def test_quotes_and_blank_fields_where_people_have_them(
    tmp_path: Path, items: str, titles: list[str]
) -> None:
    dataset = import_from("csv", shop(tmp_path / "shop", items), tmp_path / "out")
    assert dataset.catalog.title is not None
    assert dataset.catalog.items[dataset.catalog.title].to_list() == titles


def test_rows_keep_their_numbers_below_a_title(tmp_path: Path) -> None:
    events = "Orders of May\n\n" + EVENTS.replace("ann,m2", "ann,m9")
    with pytest.raises(DataError, match=r'^events\.csv:6: unknown item "m9"'):
        import_from("csv", shop(tmp_path / "shop", events=events), tmp_path / "out")


def test_categories_parted_by_commas_are_said_and_read(tmp_path: Path) -> None:
    items = 'item_id,kinds\nm1,"red, blue"\nm2,"green, red"\nm3,\n'
    folder, given = shop(tmp_path / "shop", items), ("kinds=categories",)
    dataset = import_from("csv", folder, tmp_path / "out", map=given)
    assert dataset.catalog.items["kinds"].to_list() == [["red, blue"], ["green, red"], None]
    said = 'kinds: a value such as "red, blue" is one category; --separator , parts it'
    assert said in dataset.manifest.notes
    parted = import_from("csv", folder, tmp_path / "parted", map=given, separator=",")
    assert parted.catalog.items["kinds"].to_list() == [["red", "blue"], ["green", "red"], None]


def test_an_encoding_that_is_given(tmp_path: Path) -> None:
    folder = shop(tmp_path / "shop", ITEMS.encode("latin-1"))
    with pytest.raises(
        DataError, match=r'items\.csv:3: not utf-8 text: "m2,Gr\\xf6\\xdfe.*"; give --encoding latin-1'
    ):
        import_from("csv", folder, tmp_path / "out", map=MAP)
    assert as_read(import_from("csv", folder, tmp_path / "out", map=MAP, encoding="latin-1")) == EXPECTED
    with pytest.raises(ConfigError, match="--encoding latin-0: no such encoding"):
        import_from("csv", folder, tmp_path / "other", map=MAP, encoding="latin-0")
    header = shop(tmp_path / "header", ITEMS.replace("title", "Größe").encode("latin-1"))
    with pytest.raises(DataError, match=r'items\.csv:1: not utf-8 text: "item_id,Gr\\xf6'):
        import_from("csv", header, tmp_path / "other", map=MAP)


def test_a_delimiter_that_is_given_or_uncertain(tmp_path: Path) -> None:
    folder = shop(tmp_path / "shop", ITEMS.replace(",", "^"), EVENTS.replace(",", "^"))
    assert as_read(import_from("csv", folder, tmp_path / "out", map=MAP, delimiter="^")) == EXPECTED
    with pytest.raises(ConfigError, match="--delimiter 'comm': expected one character"):
        import_from("csv", folder, tmp_path / "other", map=MAP, delimiter="comm")
    folder = shop(tmp_path / "either", "a;b,c\n1;2,3\n")
    with pytest.raises(
        ConfigError, match=r"items\.csv: fields could be parted by a comma or a semicolon; .*--delim"
    ):
        import_from("csv", folder, tmp_path / "other")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04broken", "begins like a workbook"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest",
            r"a workbook \(Excel\), not a text table; open it and save each",
        ),
        (b"\x00\x01\x02\x03" * 9, "a binary file, not a text table"),
        (b"\xffrandom\x00\x07\x1b" * 9, "a binary file, not a text table"),
        (b"\n\n,,\n", "empty file; the first row must name the columns"),
        ("item_id,\0row\nm1,x\n".encode("utf-16"), r"items\.csv:1: the header has zero bytes"),
        (b"\xff\xff\xff\xffbroken", "not a readable Arrow file"),
        (b"events.csv" + b"\0" * 247 + b"ustar\x0000", "an archive, not a table; unpack it"),
        (b"7z\xbc\xaf\x27\x1crest", "an archive, not a table; unpack it"),
        (b"PAR1broken", "not a readable Parquet file"),
        (b'item_id,title\nm1,"Mug\nm2,Jug\n', r"items\.csv:2: a quoted field is never closed"),
        (b'item_id,"title\nm1,Mug\n', "is never closed|no column is the id|empty catalogue"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: bytes, message: str) -> None:
    folder = shop(tmp_path / "shop", content)
    with pytest.raises((DataError, ConfigError), match=message) as raised:
        import_from("csv", folder, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_workbooks_and_archives_say_what_to_do(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    folder = shop(tmp_path / "shop", buffer.getvalue(), file="items.xlsx")
    with pytest.raises(DataError, match=r"items\.xlsx: a workbook \(Excel\).*save each sheet as CSV"):
        import_from("csv", folder, tmp_path / "out")
    (folder / "items.xls").write_bytes(b"<html><table></table></html>")
    with pytest.raises(DataError, match=r"items\.xls: a workbook \(Excel\).*save each sheet as CSV"):
        import_from("csv", folder, tmp_path / "out", items="items.xls")
    (folder / "items.xls").write_text(ITEMS.replace(",", "\t"))
    text = import_from("csv", folder, tmp_path / "text", items="items.xls", map=MAP)
    assert as_read(text) == EXPECTED
    with zipfile.ZipFile(folder / "items.zip", "w") as archive:
        archive.writestr("a.csv", ITEMS)
        archive.writestr("b.csv", ITEMS)
    with pytest.raises(
        DataError, match=r"items\.zip: the archive holds 2 files \(a\.csv, b\.csv\), expected one"
    ):
        import_from("csv", folder, tmp_path / "out", items="items.zip")


def test_names_in_capitals_and_whole_numbers_of_json(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "Items.CSV").write_text("item_id,title\n1,a\n2,b\n3,c\n")
    events = [{"user_id": "u", "item_id": float(n), "timestamp": n} for n in (3, 1, 2)]
    (folder / "EVENTS.json").write_text(json.dumps(events))
    dataset = import_from("csv", folder, tmp_path / "out", time_format="seconds")
    assert [dataset.catalog.item_ids[row] for row in dataset.interactions.events["item_row"]] == [
        "1",
        "2",
        "3",
    ]


def test_a_zip_is_called_like_the_table_or_like_what_is_in_it(tmp_path: Path) -> None:
    folder = shop(tmp_path / "shop")
    for name in ("items", "events"):
        packed = zipped((folder / f"{name}.csv").read_bytes())
        (folder / f"{name}.csv").unlink()
        (folder / f"{name}.zip").write_bytes(packed)
    assert as_read(import_from("csv", folder, tmp_path / "out", map=MAP)) == EXPECTED


def test_long_fields_and_small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reading, "BLOCK_BYTES", 64)
    text = "x\n" * 300
    items = ITEMS + f'm4,"{text}",1\n' + ",,\nm5\n" + f'm6,"{text * 8}",2\nm7,Cup\n'
    events = EVENTS + "".join(f"ann,m{n},2021-04-01\n" for n in (4, 6, 6, 4))
    folder = shop(tmp_path / "shop", items, events)
    dataset = import_from("csv", folder, tmp_path / "out", map=MAP, max_bad_rows=2)
    assert dataset.catalog.item_ids == ["m1", "m2", "m3", "m4", "m6"]
    assert len(dataset.catalog.texts["title"][4] or "") == len(text * 8) - 1
    assert dataset.manifest.counts["bad_rows"] == 2
    assert any(
        "items.csv:7: row has 1 field" in n and "items.csv:9: row has 2" in n for n in dataset.manifest.notes
    )


def test_a_row_without_an_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reading, "BLOCK_BYTES", 64)
    monkeypatch.setattr(csv_reading, "MAX_ROW_BYTES", 1024)
    folder = shop(tmp_path / "shop", ITEMS + 'm4,"' + "x\n" * 5000)
    with pytest.raises(DataError, match=r"items\.csv:5: a row from here on is longer"):
        import_from("csv", folder, tmp_path / "out")


def test_columns_called_like_the_importers_own(tmp_path: Path) -> None:
    names = "_row,_wrong,_value,user,item_row,row,timestamp,text,terms"
    items = f"item_id,title,{names}\n" + "".join(f"m{n},t,{','.join('abcdefghi')}\n" for n in (1, 2, 3))
    events = f"user_id,item_id,{names.replace('timestamp', 'when')},timestamp\n" + "".join(
        f"u,m{n},{','.join('abcdefghi')},{n}\n" for n in (1, 2, 3)
    )
    dataset = import_from("csv", shop(tmp_path / "shop", items, events), tmp_path / "out")
    frame = pl.DataFrame({"item_id": ["m1"], "\0row": ["a"]})
    with pytest.raises(ConfigError, match="has a zero byte in its name; rename it"):
        unimp.import_tables(items=frame, events=frame, out=tmp_path / "other")
    assert dataset.catalog.item(0).attributes == {"title": "t"} | dict(
        zip(names.split(","), "abcdefghi", strict=True)
    )


def test_other_files_of_the_same_tables(tmp_path: Path) -> None:
    items, events = pl.read_csv(ITEMS.encode()), pl.read_csv(EVENTS.encode(), try_parse_dates=True)
    folder = tmp_path / "parquet"
    folder.mkdir()
    items.write_parquet(folder / "items.parquet")
    events.write_parquet(folder / "events.parquet", row_group_size=2)
    assert as_read(import_from("csv", folder, tmp_path / "a", map=MAP)) == EXPECTED
    folder = tmp_path / "lines"
    folder.mkdir()
    items.write_ndjson(folder / "items.jsonl")
    (folder / "events.jsonl.gz").write_bytes(gzip.compress(events.write_ndjson().encode()))
    assert as_read(import_from("csv", folder, tmp_path / "b", map=MAP)) == EXPECTED
    folder = tmp_path / "arrow"
    folder.mkdir()
    items.write_ipc(folder / "items.arrow")
    events.write_ipc(folder / "events.feather")
    assert as_read(import_from("csv", folder, tmp_path / "c", map=MAP)) == EXPECTED
    for indent in (None, 2):
        text = json.dumps(items.to_dicts(), indent=indent).encode()
        (folder / "list.json").write_bytes(text if indent else zstd(text))
        listed = import_from(
            "csv", folder, tmp_path / f"list {indent}", items="list.json", events="events.feather", map=MAP
        )
        assert as_read(listed) == EXPECTED


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
def test_long_texts_come_in_small_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    rows = pl.DataFrame({"item_id": [f"m{n}" for n in range(20)], "text": ["x" * 100_000] * 20})
    path = tmp_path / f"items.{ending}"
    if ending == "parquet":
        rows.with_columns(pl.col("text") + pl.col("item_id")).write_parquet(path)
    else:
        listed = [json.dumps(row) for row in rows.to_dicts()]
        path.write_text("[" + ",".join(listed) + "]" if ending == "json" else "\n".join(listed))
    monkeypatch.setattr(reading, "JSON_BYTES", 300_000)
    monkeypatch.setattr(json_lists, "BLOCK", 1000)
    monkeypatch.setattr(tables, "CHUNK_BYTES", 300_000)
    table = tables.open_table(path)
    parts = [part.frame for part in table.chunks(table.columns, BadRows(0))]
    assert 5 <= len(parts) <= 12
    read = pl.concat(parts)
    assert read["item_id"].to_list() == rows["item_id"].to_list()
    assert read[ROW].to_list() == list(range(1, 21))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"item_id": "m1"}, {"item_id": ', "element 2 is malformed"),
        ('[{"item_id": "m1"}, {"item_id": m2}]', "element 2 is malformed"),
        ('[{"item_id": "m1"}', "it is never closed"),
        ("[1, 2]", "no element of the list is a JSON object"),
        ("[]", "no element of the list is a JSON object"),
        (pandas.DataFrame({"item_id": ["m1", "m2"]}).to_json(), r'write a list of .*orient="records"'),
        (
            pandas.DataFrame({"item_id": ["m1"]}).to_json(orient="split"),
            r'write a list of .*orient="records"',
        ),
        ('{\n"item_id": "m1",\n"title"}', "element 1 is malformed"),
        ('{"items": [{"item_id": "m1"}, {"item_id": "m2"}]}', r'whose "items" is the list.*jq \'\.\["items"'),
    ],
)
def test_a_json_list_that_cannot_be_read(tmp_path: Path, content: str, message: str) -> None:
    folder = shop(tmp_path / "shop", content, file="items.json")
    with pytest.raises(DataError, match=message):
        import_from("csv", folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_element_that_is_no_object_is_a_bad_row(tmp_path: Path) -> None:
    lines = json.loads(json.dumps(pl.read_csv(ITEMS.encode()).to_dicts()))
    folder = shop(tmp_path / "shop", json.dumps([*lines, "m9"]), file="items.json")
    with pytest.raises(DataError, match=r'items\.json:4: malformed line \(not an object\): ""m9""'):
        import_from("csv", folder, tmp_path / "out", map=MAP)
    dataset = import_from("csv", folder, tmp_path / "out", map=MAP, max_bad_rows=1)
    assert as_read(dataset) == EXPECTED


def test_broken_json_lines_are_bad_rows(tmp_path: Path) -> None:
    lines = [
        {"item_id": f"m{n}", "tags": ["a, b", "c"], "n": n, "on": True, "deep": {"x": 1}} for n in (1, 2, 3)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + "{broken\n[1]\n"
    folder = shop(tmp_path / "shop", text, file="items.ndjson")
    dataset = import_from(
        "csv", folder, tmp_path / "out", map=("tags=categories", "n=number"), max_bad_rows=2
    )
    assert dataset.catalog.items["tags"][0].to_list() == ["a, b", "c"]
    assert dataset.catalog.item(0).attributes == {
        "tags": "a, b, c",
        "n": "1",
        "on": "true",
        "deep": '{"x": 1}',
    }
    assert any("items.ndjson:4: malformed line" in note for note in dataset.manifest.notes)


@pytest.mark.parametrize("kind", ["polars", "lazy", "pandas", "arrow"])
def test_frames(tmp_path: Path, kind: str) -> None:
    items, events = pl.read_csv(ITEMS.encode()), pl.read_csv(EVENTS.encode(), try_parse_dates=True)
    made: dict[str, Callable[[pl.DataFrame], object]] = {
        "polars": lambda frame: frame,
        "lazy": lambda frame: frame.lazy(),
        "pandas": lambda frame: pandas.DataFrame(frame.to_dict(as_series=False)),
        "arrow": lambda frame: frame.to_arrow(),
    }
    dataset = unimp.import_tables(
        items=made[kind](items),
        events=made[kind](events),
        out=tmp_path / "out",
        item_columns={"price": "number"},
    )
    assert as_read(dataset) == EXPECTED


def test_frames_of_pandas_kinds(tmp_path: Path) -> None:
    ids = ["m1", 2, "m3"]
    items = pandas.DataFrame(
        {"item_id": pandas.Series(ids, dtype=object), "took": pandas.to_timedelta([1] * 3)}
    )
    events = pandas.DataFrame(
        {
            "user_id": "ann",
            "item_id": pandas.Series(ids, dtype=object),
            "timestamp": pandas.period_range("2021-01", periods=3, freq="M"),
        }
    )
    dataset = unimp.import_tables(items=items, events=events, out=tmp_path / "out")
    assert dataset.catalog.item_ids == ["m1", "2", "m3"]
    assert dataset.interactions.events["timestamp"].to_list() == [1609459200, 1612137600, 1614556800]
    twice = pandas.DataFrame([["m1", "m2"]], columns=["item_id", "item_id"])
    with pytest.raises(DataError, match=r"^items: is not readable .*unique column names"):
        unimp.import_tables(items=twice, events=events, out=tmp_path / "twice")


def test_frames_of_numbers_and_lists(tmp_path: Path) -> None:
    # pandas makes floats of whole numbers where some are missing
    events = pandas.DataFrame({"user": [7.0, 7.0, 7.0, float("nan")], "sku": [1, 2, 3, 1], "t": [3, 2, 1, 0]})
    items = pl.DataFrame({"sku": [1, 2, 3], "tags": [["a"], [], ["b", "c, d"]], "name": ["x", "y", "z"]})
    dataset = unimp.import_tables(
        items=items,
        events=events,
        out=tmp_path / "out",
        item_columns={"sku": "id", "tags": "categories", "name": "title"},
        event_columns={"user": "user", "sku": "item", "t": "time"},
        max_bad_rows=1,
    )
    assert dataset.interactions.events["user_id"].to_list() == ["7", "7", "7"]
    assert dataset.interactions.events["item_row"].to_list() == [2, 1, 0]
    assert dataset.catalog.items["tags"].to_list() == [["a"], None, ["b", "c, d"]]
    assert any("events:4: user_id is nothing" in note for note in dataset.manifest.notes)
    with pytest.raises(DataError, match="events: a int is no table; give a polars, pandas or Arrow one"):
        unimp.import_tables(events=5, out=tmp_path / "other")
    with pytest.raises(DataError, match="already exists; choose another"):
        unimp.import_tables(events=events, out=tmp_path / "out")
    with pytest.raises(ConfigError, match="import_tables: unknown key 'kcore'; did you mean \"k_core\""):
        unimp.import_tables(events=events, out=tmp_path / "other", kcore=2)
    with pytest.raises(
        ConfigError,
        match=r"events: no column is the user; say event_columns=\{COLUMN: 'user'\}; known: user",
    ):
        unimp.import_tables(events=events, out=tmp_path / "other")


def test_several_files_of_events(tmp_path: Path) -> None:
    folder = shop(tmp_path / "shop")
    lines = EVENTS.splitlines(keepends=True)
    (folder / "log").mkdir()
    (folder / "log" / "2021-01.csv").write_text("".join(lines[:3]))
    (folder / "log" / "2021-02.tsv").write_text("".join([lines[0], *lines[3:]]).replace(",", "\t"))
    assert as_read(import_from("csv", folder, tmp_path / "a", map=MAP, events="log")) == EXPECTED
    assert as_read(import_from("csv", folder, tmp_path / "b", map=MAP, events="log/2021-*")) == EXPECTED
    both = import_from(
        "csv", folder, tmp_path / "c", map=MAP, events="log/2021-01.csv", further_events=("log/2021-02.tsv",)
    )
    assert as_read(both) == EXPECTED
    with pytest.raises(DataError, match=r"2022-\*: no file is called like that; correct --events"):
        import_from("csv", folder, tmp_path / "d", events="log/2022-*")
    (folder / "undated.csv").write_text("user_id,item_id\nann,m1\n")
    with pytest.raises(ConfigError, match=r"undated\.csv: has no column of times, as the other events have"):
        import_from("csv", folder, tmp_path / "d", further_events=("undated.csv",))


def test_events_without_a_table_of_items(tmp_path: Path) -> None:
    log = tmp_path / "orders.csv"
    log.write_text("who,sku,name,at\nu,b,Bowl,3\nu,a,,2\nu,a,Ash,1\nu,NULL,No,1\n")
    given = ("who=user", "sku=item", "name=title", "at=time")
    dataset = import_from("csv", log, tmp_path / "out", map=given, max_bad_rows=1)
    assert dataset.catalog.item_ids == ["b", "a"]
    assert dataset.catalog.texts["name"] == ["Bowl", "Ash"]
    assert dataset.catalog.title == "name"
    assert "no table of items: items have an id and name" in dataset.manifest.notes
    with pytest.raises(ConfigError, match="--map sku=id: there is no table of items"):
        import_from("csv", log, tmp_path / "other", map=("sku=id", *given))


# what the fuzzer of benchmarks/data/fuzz_tables.py found first
FOUND = {
    "a short row with a byte that is no UTF-8": (
        b"item_id,title\nm1,x\nm2\xfe\n",
        r'items\.csv:3: not utf-8 text: "m2\\xfe"',
    ),
    "a header that runs over lines": (
        b'item_id;"title\nm1;x\nm2;y\nm3;"\n',
        "empty catalogue|no column|never closed",
    ),
    "no row but short ones": (b"item_id,title\nm1\nm2\n", r"items\.csv:2: row has 1 field.*2 bad rows"),
    "a wrong byte at the very end": (
        b"item_id,title\nm1,x\nm2,y,z\nm3,\xff\n",
        r'items\.csv:4: not utf-8 text: "m3,\\xff"',
    ),
}


def test_names_of_columns_over_several_lines(tmp_path: Path) -> None:
    named = {"item_id": "Article\nNo", "price": "price\n(EUR)"}
    items = pl.read_csv(ITEMS.encode()).rename(named)
    events = shop(tmp_path / "e").joinpath("events.csv").read_text()
    given = ("Article No=id", "price (EUR)=number")
    for number, (ending, write) in enumerate(
        {
            "json": lambda path: path.write_text(json.dumps(items.to_dicts())),
            "parquet": items.write_parquet,
            "arrow": items.write_ipc,
        }.items()
    ):
        folder = tmp_path / f"s{number}"
        folder.mkdir()
        (folder / "events.csv").write_text(events)
        write(folder / f"items.{ending}")
        dataset = import_from("csv", folder, tmp_path / f"out{number}", map=given)
        assert dataset.catalog.items["price (EUR)"].to_list() == [3.5, 4.25, 12.0]
        with pytest.raises(
            ConfigError, match=r"no column is the id; .*; known: Article No, title, price \(EUR\)$"
        ):
            import_from("csv", folder, tmp_path / f"no{number}")
    dataset = unimp.import_tables(
        items=items,
        events=pl.read_csv(events.encode()),
        out=tmp_path / "frame",
        item_columns={"Article No": "id"},
    )
    assert dataset.catalog.texts["price (EUR)"][0] == "3.5"


@pytest.mark.parametrize("name", FOUND)
def test_what_fuzzing_found(tmp_path: Path, name: str) -> None:
    items, message = FOUND[name]
    folder = shop(tmp_path / "shop", items)
    with pytest.raises((DataError, ConfigError), match=message) as raised:
        import_from("csv", folder, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop"]
