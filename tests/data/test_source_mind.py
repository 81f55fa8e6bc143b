from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.csv_shop import import_from
from unimp.core.errors import DataError
from unimp.data.dataset import Dataset


def pasts(dataset: Dataset) -> dict[str, list[str]]:
    log, ids = dataset.interactions.histories, dataset.catalog.item_ids
    return {str(log.user_ids[user]): [ids[row] for row in log.items_of(user)] for user in range(len(log))}


NEWS = "N{n}\tsports\tgolf\tTitle {n}\tWords.\thttps://n.example/{n}\t[]\t[]\n"


def part(folder: Path, behaviours: str, news: str = "12345") -> Path:
    folder.mkdir(parents=True)
    (folder / "news.tsv").write_text("".join(NEWS.format(n=n) for n in news))
    (folder / "behaviors.tsv").write_text(behaviours)
    return folder


TRAIN = (
    "1\tU1\t11/15/2019 8:55:22 PM\tN1 N2\tN3-0 N4-1\n"
    "2\tU1\t11/15/2019 9:00:00 AM\tN1 N2\tN5-1 N4-0\n"
    "3\tU2\t11/11/2019 1:00:00 AM\t\tN1-1\n"
)


def test_one_part(tmp_path: Path) -> None:
    dataset = import_from("mind", part(tmp_path / "MINDsmall_train", TRAIN), tmp_path / "out")
    assert pasts(dataset) == {"U1": ["N1", "N2", "N5", "N4"], "U2": ["N1"]}
    assert dataset.interactions.events["timestamp"].null_count() == 5
    assert dataset.catalog.item(0).attributes == {
        "title": "Title 1", "category": "sports", "subcategory": "golf", "abstract": "Words."
    }  # fmt: skip


def test_several_parts_training_first(tmp_path: Path) -> None:
    part(tmp_path / "m" / "MINDsmall_dev", "1\tU1\t11/16/2019 8:00:00 AM\tN1 N2\tN6-1\n", "6")
    part(tmp_path / "m" / "MINDsmall_train", TRAIN)
    dataset = import_from("mind", tmp_path / "m", tmp_path / "out")
    assert pasts(dataset)["U1"] == ["N1", "N2", "N5", "N4", "N6"]


def test_bad_rows_and_missing_files(tmp_path: Path) -> None:
    wrong = TRAIN + "4\tU2\tyesterday\t\tN2-1\n5\tU2\n"
    folder = part(tmp_path / "m", wrong)
    with pytest.raises(DataError, match=r"^behaviors\.tsv:5: row has 2 field\(s\), expected 5"):
        import_from("mind", folder, tmp_path / "out")
    dataset = import_from("mind", folder, tmp_path / "out", max_bad_rows=2)
    assert dataset.manifest.counts["bad_rows"] == 2
    (folder / "news.tsv").unlink()
    with pytest.raises(DataError, match=r"has no news\.tsv beside its behaviors\.tsv"):
        import_from("mind", folder, tmp_path / "x")
    (folder / "behaviors.tsv").unlink()
    with pytest.raises(DataError, match=r"has no behaviors\.tsv; give the unpacked folder of MIND"):
        import_from("mind", folder, tmp_path / "x")
