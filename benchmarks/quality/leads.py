"""A paired difference of two methods from their result files: mean, 95 % by bootstrap over users, and p.

    python benchmarks/quality/leads.py --of results/A-seed*.json --over results/B-seed*.json [--metric NDCG@5]

Several files of one method are its seeds: each user's mean over them is compared. Both must have judged the
same cases.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from unimp.core.errors import DataError
from unimp.core.exits import one_line_errors
from unimp.evaluate.bench.result import StoredResult, read_result
from unimp.evaluate.bench.significance import PairedComparison, Values, compare
from unimp.evaluate.bench.table import user_values


def lead(of: Sequence[Path], over: Sequence[Path], metric: str) -> PairedComparison:
    """The mean over users of what the one has more than the other. DataError where cases differ."""
    return compare(*paired_values(stored(of), stored(over), metric))


def paired_values(
    of: Sequence[StoredResult], over: Sequence[StoredResult], metric: str
) -> tuple[Values, Values]:
    """[U] every user's value by each, a mean over its seeds. DataError where cases differ."""
    if of[0].result.data.cases_hash != over[0].result.data.cases_hash:
        raise DataError(
            f"{of[0].path} and {over[0].path}: judged on different cases; compare results of one split"
        )
    return user_values(of, metric), user_values(over, metric)


def stored(paths: Sequence[Path]) -> list[StoredResult]:
    found = [read_result(path) for path in paths]
    for path, entry in zip(paths, found, strict=True):
        if not isinstance(entry, StoredResult):
            raise DataError(f"{path}: {entry.reason}; give result files of `unimp bench run`")
    return [entry for entry in found if isinstance(entry, StoredResult)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--of", type=Path, nargs="+", required=True)
    parser.add_argument("--over", type=Path, nargs="+", required=True)
    parser.add_argument("--metric", default="NDCG@5")
    options = parser.parse_args()
    found = lead(options.of, options.over, options.metric)
    mean, low, high = found.difference.mean, found.difference.low, found.difference.high
    print(f"{options.metric} {mean:+.4f} ({low:+.4f} to {high:+.4f}), p {found.p_value:.4f}")


if __name__ == "__main__":
    with one_line_errors():
        main()
