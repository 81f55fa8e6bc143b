"""On real data the closed-form methods give the figures they are known to give."""

from pathlib import Path

import pytest

from unimp.baselines import METHODS
from unimp.baselines.baseline import TrainingData
from unimp.data.catalog import Catalog
from unimp.data.histories import Histories, Split
from unimp.data.splits import leave_one_out
from unimp.metrics.ranking import rank_cases, ranking_metrics

BEAUTY = Path(__file__).parents[3] / "shared" / "data" / "beauty" / "sequences_s3rec.txt"


@pytest.fixture(scope="module")
def beauty() -> tuple[Split, Catalog]:
    import polars as pl

    if not BEAUTY.exists():
        pytest.skip(f"no real data at {BEAUTY}")
    lines = [line.split() for line in BEAUTY.read_text().splitlines()]
    row_of: dict[str, int] = {}
    rows = [[row_of.setdefault(item, len(row_of)) for item in line[1:]] for line in lines]
    items = pl.DataFrame(
        {"item_id": list(row_of), "picture": pl.Series([None] * len(row_of), dtype=pl.String)}
    )
    histories = Histories.from_lists(rows, [line[0] for line in lines])
    return leave_one_out(histories, len(row_of)), Catalog(items, ())


@pytest.mark.data
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("pop", (0.0068, 0.0039, 0.0110, 0.0053)),
        ("itemknn", (0.0392, 0.0268, 0.0568, 0.0325)),
        ("itemknn-recency", (0.0468, 0.0338, 0.0652, 0.0398)),
        ("ease", (0.0431, 0.0278, 0.0664, 0.0352)),
    ],
)
def test_beauty(beauty: tuple[Split, Catalog], method: str, expected: tuple[float, ...]) -> None:
    split, catalog = beauty
    fitted = METHODS[method].make()
    fitted.fit(TrainingData.of(split, catalog), seed=0)
    metrics = ranking_metrics(rank_cases(fitted, split.test), (5, 10))
    found = tuple(metrics[name] for name in ("HR@5", "NDCG@5", "HR@10", "NDCG@10"))
    assert found == pytest.approx(expected, abs=0.0003)  # of six users in 22,363: near ties may change places
