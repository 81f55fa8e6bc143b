from __future__ import annotations

import gzip
import re
from pathlib import Path

import polars as pl
import pytest

from unimp.core.errors import DataError
from unimp.data.raw import ROW, BadRows
from unimp.data.reading import read_csv, read_fields, read_json_lines

SCHEMA: dict[str, pl.DataType] = {"a": pl.String(), "b": pl.Int64()}


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_ids_stay_text_blanks_are_null_and_rows_are_numbered(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, 'id,words\n007,"a, ""quoted""\nline"\n1.0,\n')
    rows = read_csv(path, BadRows(0), required=("id",))
    assert rows.frame.rows() == [("007", 'a, "quoted"\nline', 2), ("1.0", None, 3)]


def test_only_the_wanted_columns_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "\ufeffa,b,c\n1,2,3\n")
    assert read_csv(path, BadRows(0), required=("a",), optional=("c", "z")).frame.columns == ["a", "c", ROW]


def test_a_malformed_row_is_named_and_its_number_is_kept_free(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n1,2\n3\n4,5\n6,7,8\n9,0\n")
    bad = BadRows(1)
    assert read_csv(path, bad).frame.rows() == [("1", "2", 2), ("4", "5", 4), ("9", "0", 6)]
    with pytest.raises(
        DataError, match=r'^t\.csv:3: row has 1 field\(s\), expected 2: "3"; .*\(2 bad rows, 1 al'
    ):
        bad.settle()
    bad = BadRows(2)
    read_csv(path, bad)
    bad.settle()
    assert "t.csv:3" in bad.notes[0]
    assert "t.csv:5" in bad.notes[0]


def test_far_too_many_bad_rows_end_the_reading(tmp_path: Path) -> None:
    bad = BadRows(5)
    with pytest.raises(
        DataError, match=r"^t\.csv:2: row has 1 field.*\(at least 100,006 bad rows, 5 allowed"
    ):
        read_csv(write(tmp_path / "t.csv", "a,b\n" + "x\n" * (bad.GIVE_UP + 100)), bad)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty file"),
        ("a,b,a\n1,2,3\n", 'column "a" occurs twice'),
        ("uid,b\n1,2\n", 'has no column "id"; did you mean "uid"'),
        ("id,b\n1,é\n".encode("latin-1"), "not utf-8 text"),
        ('id,b\n1,"2\n3,4\n5,6\n', r"t\.csv:2: a quoted field is never closed"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_csv(write(tmp_path / "t.csv", content), BadRows(0), required=("id",))


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_csv(tmp_path / "absent.csv", BadRows(0))
    whole = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * 7919 % 1000) for i in range(9000)))
    path = tmp_path / "t.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged gzip file"):
        read_csv(path, BadRows(0))
    path.write_bytes(b"not gzip")
    with pytest.raises(DataError, match="damaged gzip file"):
        read_csv(path, BadRows(0))


def test_fields_with_a_long_separator_and_latin_1(tmp_path: Path) -> None:
    path = write(tmp_path / "m.dat", "1::Misérables::x\n\n2::only\n3::::y\n".encode("latin-1"))
    bad = BadRows(1)
    rows = read_fields(path, bad, ("id", "title", "kind"), "::", encoding="latin-1")
    assert rows.frame.rows() == [("1", "Misérables", "x", 1), ("3", None, "y", 4)]
    assert bad.first is not None
    assert bad.first.startswith('m.dat:3: row has 2 field(s), expected 3 parted by "::"')


def test_json_lines_name_the_malformed_line(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json.gz", '{"a": "x", "b": 1}\n\n{"a": \n{"a": "y"}\n')
    bad = BadRows(2)
    rows = read_json_lines(path, bad, lambda record: (record["a"], record["b"]), SCHEMA)
    assert rows.frame.rows() == [("x", 1, 1)]
    assert re.match(r"^r\.json\.gz:3: malformed line .*mend or delete", bad.problems[0])
    assert bad.problems[1].startswith('r.json.gz:4: has no field "b"')
