from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.csv_shop import import_from
from unimp.core.errors import ConfigError, DataError
from unimp.data.dataset import Dataset


def pasts(dataset: Dataset) -> dict[str, list[str]]:
    log, ids = dataset.interactions.histories, dataset.catalog.item_ids
    return {str(log.user_ids[user]): [ids[row] for row in log.items_of(user)] for user in range(len(log))}


def folder_of(folder: Path) -> Path:
    folder.mkdir()
    (folder / "events.csv").write_text(
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,1,view,10,\n"
        "1433221332110,1,addtocart,20,\n"
        "1433229999999,1,transaction,20,7\n"
        "1433221000000,2,view,20,\n"
    )
    header = "timestamp,itemid,property,value\n"
    (folder / "item_properties_part1.csv").write_text(header + "200,10,categoryid,5\n100,20,888,n1.0 x\n")
    (folder / "item_properties_part2.csv").write_text(header + "100,10,categoryid,4\n")
    (folder / "category_tree.csv").write_text("categoryid,parentid\n5,1\n1,\n")
    return folder


def test_the_published_layout(tmp_path: Path) -> None:
    dataset = import_from("retailrocket", folder_of(tmp_path / "r"), tmp_path / "out", k_core=0)
    assert pasts(dataset)["1"] in (
        ["20", "10", "20"],
        ["10", "20", "20"],
    )  # by milliseconds, or seconds alone
    assert dataset.catalog.row_of.keys() == {"10", "20"}
    item = dataset.catalog.item(dataset.catalog.row_of["10"])
    assert item.attributes == {"category": "5", "parent_category": "1"}
    counts = dataset.manifest.counts
    assert [counts[f"{kind}_events"] for kind in ("view", "addtocart", "transaction")] == [2, 1, 1]


def test_kinds_of_events(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "r")
    with (folder / "events.csv").open("a") as file:
        file.writelines(f"14332299999{n},3,transaction,20,{n}\n" for n in range(10, 13))
    dataset = import_from("retailrocket", folder, tmp_path / "out", k_core=0, events="transaction,addtocart")
    assert pasts(dataset) == {"1": ["20", "20"], "3": ["20"] * 3}
    with pytest.raises(ConfigError, match='no kind of event; did you mean "view"'):
        import_from("retailrocket", folder, tmp_path / "x", events="views")


def test_bad_rows_and_missing_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "r")
    with (folder / "events.csv").open("a") as file:
        file.write("1433229999999,1,wish,20,\n")
    with pytest.raises(DataError, match=r'^events\.csv:6: unknown kind of event "wish"; expected view, add'):
        import_from("retailrocket", folder, tmp_path / "out", k_core=0)
    for path in folder.glob("item*"):
        path.unlink()
    dataset = import_from("retailrocket", folder, tmp_path / "out", k_core=0, max_bad_rows=1)
    assert dataset.catalog.item(0).attributes == {}
    (folder / "events.csv").unlink()
    with pytest.raises(DataError, match=r"has no events\.csv; give Retailrocket's unpacked folder"):
        import_from("retailrocket", folder, tmp_path / "x")
