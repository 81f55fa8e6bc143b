"""Constrained beam search of TIGER, against decoding every segment from its first code again at each level.

    python benchmarks/speed/beam.py --data DIR [--users 2000] [--threads 1] [--out FILE.json]

Both give the same scores; weights and codes are random, which costs as much as learnt ones. The naive way
also pads all users of a judge's batch to the longest history among them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measure import Bout, Meter, measured
from torch import Tensor

from unimp.baselines.shared.semantic_ids import QuantiserConfig, tell_apart
from unimp.baselines.shared.tiger_network import TIGERNetwork
from unimp.baselines.tiger import TIGER, TIGERConfig
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray, Histories
from unimp.runs.training_split import make_split

SEED, JUDGED_AT_ONCE = 0, 512


@dataclass
class WholeSegments:
    """Codes of segments, and nothing else that was computed before."""

    memory_BSD: Tensor
    latest_B: Tensor
    codes_BKP: Tensor | None = None

    def follow(self, parent_BK: Tensor) -> None:
        assert self.codes_BKP is not None
        self.codes_BKP = self.codes_BKP.gather(
            1, parent_BK[..., None].expand(-1, -1, self.codes_BKP.shape[2])
        )


class NaiveNetwork(TIGERNetwork):
    """Decodes whole segments at every level."""

    def begin(self, memory_BSD: Tensor, latest_B: Tensor) -> WholeSegments:  # type: ignore[override]
        return WholeSegments(memory_BSD, latest_B)

    def grow(self, segments: WholeSegments, codes_BK: Tensor) -> Tensor:  # type: ignore[override]
        newest_BK1, before = codes_BK[..., None], segments.codes_BKP
        codes_BKP = newest_BK1[..., :0] if before is None else torch.cat([before, newest_BK1], dim=2)
        segments.codes_BKP = codes_BKP
        latest_BK = segments.latest_B[:, None].expand_as(codes_BK)
        return self.decode(codes_BKP, segments.memory_BSD, latest_BK)[:, :, -1]


class NaiveTIGER(TIGER):
    users_at_once = JUDGED_AT_ONCE

    def build(self, num_items: int) -> TIGERNetwork:
        network = super().build(num_items)
        network.__class__ = NaiveNetwork  # the same weights
        return network


def random_codes(num_items: int, config: QuantiserConfig) -> Tensor:
    """[num_items, L], drawn evenly."""
    size = (num_items, config.levels)
    return torch.from_numpy(tell_apart(np.random.default_rng(SEED).integers(0, config.codes, size)))


def new_method(kind: type[TIGER], codes_IL: Tensor, threads: int) -> TIGER:
    method = kind(TIGERConfig(threads=threads))
    torch.manual_seed(SEED)
    method.codes, method.popularity = codes_IL, np.ones(len(codes_IL), dtype=np.float32)
    method.module = method.build(len(codes_IL))
    return method


def score_all(method: TIGER, histories: Histories) -> list[FloatArray]:
    starts = range(0, len(histories), JUDGED_AT_ONCE)
    return [method.score(histories.slice(start, start + JUDGED_AT_ONCE)) for start in starts]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    dataset = Dataset.load(options.data)
    split = make_split(dataset, "leave-one-out")
    histories = split.test.histories.slice(0, options.users)
    codes, meter = random_codes(len(dataset.catalog), QuantiserConfig()), Meter(torch.device("cpu"))
    bouts, scores = {}, {}
    for name, kind in (("ours", TIGER), ("naive", NaiveTIGER)):
        method = new_method(kind, codes, options.threads)
        method.score(histories.slice(0, 64))
        bouts[name] = Bout()
        scores[name] = measured(bouts[name], meter, lambda: score_all(method, histories))  # noqa: B023
    apart = max(
        float(np.abs(ours - naive).max()) for ours, naive in zip(scores["ours"], scores["naive"], strict=True)
    )
    rates = {f"{name} users/s": len(histories) / bout.total(meter) for name, bout in bouts.items()}
    report = {
        "data": f"{dataset.manifest.source} ({dataset.data_hash})",
        "users": len(histories),
        "threads": options.threads,
        "seconds of": meter.ruling,
        **rates,
        "ratio": rates["ours users/s"] / rates["naive users/s"],
        "largest difference of a score": apart,
    }
    print(json.dumps(report, indent=2))
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
