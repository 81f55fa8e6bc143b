from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.data.csv_shop import MAPPING, import_csv, shop
from unimp.core.errors import DataError
from unimp.data import dataset, parquet
from unimp.data.dataset import Dataset


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_load_gives_back_what_was_written(shop_folder: Path, tmp_path: Path) -> None:
    written = import_csv(shop_folder, tmp_path / "out")
    read = Dataset.load(tmp_path / "out", verify=True)
    assert read.catalog.items.equals(written.catalog.items)
    assert read.interactions.events.equals(written.interactions.events)
    assert read.interactions.rating_scale == written.interactions.rating_scale
    assert read.catalog.attributes == written.catalog.attributes
    assert read.manifest == written.manifest
    assert read.data_hash == written.data_hash


def test_columns_without_a_value_are_not_read(
    shop_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = import_csv(
        shop_folder, tmp_path / "out", map=("colour=category", "price=number", "review=ignore")
    )
    read: list[list[str] | None] = []
    read_table = parquet.read_table

    def recorded(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
        read.append(columns)
        return read_table(path, columns)

    monkeypatch.setattr(parquet, "read_table", recorded)
    opened = Dataset.load(tmp_path / "out")
    assert ["user_id", "item_row", "timestamp", "rating"] in read
    assert opened.interactions.events.equals(pl.read_parquet(tmp_path / "out" / dataset.EVENTS))
    assert opened.interactions.histories.num_events == len(written.interactions)


def test_more_events_than_the_memory_holds_are_refused(
    shop_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_csv(shop_folder, tmp_path / "out")
    monkeypatch.setattr(parquet, "available_memory", lambda: 16 * parquet.EVENT_BYTES - 1)
    with pytest.raises(DataError, match=r"interactions\.parquet: 16 events take .* GiB free; open it on"):
        Dataset.load(tmp_path / "out")
    monkeypatch.setattr(parquet, "available_memory", lambda: 16 * parquet.EVENT_BYTES)
    assert len(Dataset.load(tmp_path / "out").interactions) == 16


def test_the_hash_is_of_the_content(shop_folder: Path, tmp_path: Path) -> None:
    one, same = (import_csv(shop_folder, tmp_path / name).data_hash for name in ("a", "b"))
    other = shop().but("events", 2, 3, "5").write(tmp_path / "other")
    assert one == same != import_csv(other, tmp_path / "c").data_hash


def test_a_folder_is_replaced_only_when_asked(shop_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "out"
    first = import_csv(shop_folder, out)
    with pytest.raises(DataError, match="already exists; choose another --out, or add --overwrite"):
        import_csv(shop_folder, out)
    with pytest.raises(DataError, match="after the 9-core"):
        import_csv_over(shop_folder, out, k_core=9)
    assert Dataset.load(out, verify=True).data_hash == first.data_hash
    (out / "stale").touch()
    import_csv_over(shop_folder, out)
    assert not (out / "stale").exists()
    assert left_in(out.parent) == ["out"]


def import_csv_over(path: Path, out: Path, **options: object) -> Dataset:
    from unimp.data.importing import import_dataset
    from unimp.data.raw import ImportOptions

    return import_dataset(
        "csv", path, out, ImportOptions.parse({"map": MAPPING} | options, "test"), overwrite=True
    )


def test_what_is_not_a_data_folder_is_never_replaced(shop_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="exists and is not a data folder"):
        import_csv_over(shop_folder, shop_folder)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="exists and is not a folder"):
        import_csv_over(shop_folder, tmp_path / "file")
    assert left_in(shop_folder) == ["events.csv", "img", "items.csv"]


def test_a_full_disk_leaves_nothing(
    shop_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def write(frame: pl.DataFrame, path: Path, **options: object) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.write_bytes(b"half")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", write)
    with pytest.raises(DataError, match=r"cannot be written \(No space left on device\); nothing was left"):
        import_csv(shop_folder, tmp_path / "out")
    assert left_in(tmp_path) == ["shop"]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from tests.data.csv_shop import import_csv
from unimp.core.errors import DataError
import unimp.data.importing, unimp.data.sources.csv_tables
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    import_csv(Path(sys.argv[1]), Path(sys.argv[2]))
except DataError as error:
    print(error)
"""


def test_a_write_that_the_system_refuses_leaves_nothing(shop_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = subprocess.run(
        [sys.executable, "-B", "-c", LIMITED, shop_folder, out],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "cannot be written" in run.stdout
    assert len(run.stdout.splitlines()) == 1
    assert left_in(tmp_path) == ["shop"]


STALLED = """
import sys, time
from pathlib import Path
from tests.data.csv_shop import import_csv
import unimp.data.dataset as dataset

def stall(*arguments):
    print("written", flush=True)
    time.sleep(600)

dataset.put_in_place = stall
import_csv(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_import_leaves_no_folder_that_looks_finished(shop_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", STALLED, shop_folder, out],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert not out.exists()
    with pytest.raises(DataError, match="no such data folder"):
        Dataset.load(out)
    assert import_csv(shop_folder, out).manifest.counts["users"] == 4


def test_damage_is_found(shop_folder: Path, tmp_path: Path) -> None:
    out = import_csv(shop_folder, tmp_path / "out").folder
    manifest = out / "data.json"
    original = manifest.read_text()

    pl.read_parquet(out / "items.parquet").reverse().write_parquet(out / "items.parquet")
    Dataset.load(out)
    with pytest.raises(DataError, match=r"items\.parquet: content does not match data\.json"):
        Dataset.load(out, verify=True)
    (out / "items.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"items\.parquet: cannot be read"):
        Dataset.load(out)
    manifest.write_text(original[:100])
    with pytest.raises(DataError, match=r"data\.json: damaged"):
        Dataset.load(out)
    manifest.write_text(json.dumps(json.loads(original) | {"format": 99}))
    with pytest.raises(DataError, match="format 99, this version reads 1"):
        Dataset.load(out)
    manifest.unlink()
    with pytest.raises(DataError, match=r"not a data folder \(no data\.json\)"):
        Dataset.load(out)
