from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.data.csv_shop import import_from, jpeg, write_csv
from unimp.core.errors import ConfigError, DataError
from unimp.data.dataset import Dataset

IDS = ("0108775015", "0108775044", "0110065001")
ARTICLES = [
    (IDS[0], "Strap top", "Vest top", "Solid", "Black", "Jersey top."),
    (IDS[1], "Strap top", "Vest top", "Solid", "White", ""),
    (IDS[2], "OP T-shirt", "Bra", "Solid", "Black", "Microfibre."),
]
HEADER = (
    "article_id", "prod_name", "product_type_name", "graphical_appearance_name", "colour_group_name",
    "detail_desc",
)  # fmt: skip
LOG = [
    ("2020-09-16", "c1", IDS[0], "0.01"),
    ("2020-09-16", "c1", IDS[1], "0.02"),
    ("2020-09-17", "c1", IDS[0], "0.03"),  # a repeat
    ("2020-09-15", "c1", IDS[2], "0.05"),
    ("2020-09-16", "c2", IDS[0], "0.09"),
]


def layout(folder: Path, log: str = "transactions_train.csv") -> Path:
    pictures = folder / "images" / "010"
    pictures.mkdir(parents=True)
    for article_id in IDS[:2]:
        (pictures / f"{article_id}.jpg").write_bytes(jpeg())
    write_csv(folder / "articles.csv", HEADER, ARTICLES)
    write_csv(folder / log, ("t_dat", "customer_id", "article_id", "price"), LOG)
    return folder


def test_the_kaggle_layout(tmp_path: Path) -> None:
    dataset = import_from("hm", layout(tmp_path / "hm"), tmp_path / "out", k_core=0)
    assert dataset.catalog.item_ids == list(IDS)
    assert dataset.catalog.picture_references == [f"010/{IDS[0]}.jpg", f"010/{IDS[1]}.jpg", None]
    assert dataset.catalog.item(0).attributes == {
        "prod_name": "Strap top",
        "product_type_name": "Vest top",
        "graphical_appearance_name": "Solid",
        "colour_group_name": "Black",
        "price": "0.03",  # the median of 0.01, 0.03 and 0.09
        "detail_desc": "Jersey top.",
    }
    assert dataset.catalog.label(2) == "OP T-shirt"
    log = dataset.interactions.histories
    assert log.items_of(0).tolist() == [2, 0, 1]
    assert log.times.tolist()[:3] == [1_600_128_000, 1_600_214_400, 1_600_214_400]
    assert dataset.interactions.rating_scale is None
    assert dataset.manifest.counts["repeats_dropped"] == 1


def test_a_lost_leading_zero_is_named(tmp_path: Path) -> None:
    folder = layout(tmp_path / "hm")
    for name in ("articles.csv", "transactions_train.csv"):
        (folder / name).write_text((folder / name).read_text().replace("0110065001", "110065001"))
    with pytest.raises(
        DataError, match=r'^articles\.csv:4: article_id lost its leading zero: "110065001"; read'
    ):
        import_from("hm", folder, tmp_path / "out")
    write_csv(folder / "articles.csv", HEADER, ARTICLES)
    with pytest.raises(
        DataError, match=r'^transactions_train\.csv:5: unknown item "110065001"; the catalogue has'
    ):
        import_from("hm", folder, tmp_path / "out")


def test_the_transaction_file_is_kaggles_the_only_one_or_the_named_one(tmp_path: Path) -> None:
    folder = layout(tmp_path / "hm", "transactions_last_week.csv")
    import_from("hm", folder, tmp_path / "only", k_core=0)
    (folder / "transactions_two_years.csv.gz").write_bytes(
        gzip.compress((folder / "transactions_last_week.csv").read_bytes())
    )
    with pytest.raises(
        ConfigError, match=r"--transactions transactions_last_week\.csv \| transactions_two_y"
    ):
        import_from("hm", folder, tmp_path / "out", k_core=0)
    with pytest.raises(ConfigError, match=r"two_year: no such file; did you mean .*transactions_two_years"):
        import_from("hm", folder, tmp_path / "out", k_core=0, transactions="transactions_two_year")
    chosen = import_from("hm", folder, tmp_path / "gz", k_core=0, transactions="transactions_two_years")
    assert chosen.data_hash == Dataset.load(tmp_path / "only").data_hash


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no articles\.csv or articles\.csv\.gz"):
        import_from("hm", tmp_path, tmp_path / "out")
    folder = layout(tmp_path / "hm")
    (folder / "transactions_train.csv").unlink()
    with pytest.raises(DataError, match=r"has no transactions\*\.csv"):
        import_from("hm", folder, tmp_path / "out")
    with pytest.raises(DataError, match="not a folder; hm needs the folder"):
        import_from("hm", folder / "articles.csv", tmp_path / "out")


@pytest.mark.data
def test_the_last_week_has_the_benchmarks_counts(shared_data: Path, tmp_path: Path) -> None:
    dataset = import_from(
        "hm",
        shared_data / "hm",
        tmp_path / "hm",
        transactions="transactions_last_week",
        check_pictures="none",
    )
    assert len(dataset.interactions.histories) == 8_925
    assert len(dataset.catalog) == 3_186
    assert len(dataset.interactions) == 64_804
    assert dataset.manifest.counts["pictures_missing"] == 0
    assert all(item_id.startswith("0") for item_id in dataset.catalog.item_ids)
