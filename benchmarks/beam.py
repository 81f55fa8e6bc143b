"""Constrained beam search of TIGER, against decoding every segment from its first code again at each level.

    python benchmarks/beam.py --data DIR [--users 2000] [--threads 1] [--out FILE.json]

Both give the same scores; weights and codes are random, which costs as much as learnt ones. The naive way
also pads all users of a judge's batch to the longest history among them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from measure import Bout, Meter, measured
from unimp.baselines.tiger import TIGER, TIGERConfig
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray, Histories
from unimp.train.preparation import make_split

SEED, JUDGED_AT_ONCE = 0, 512


class NaiveTIGER(TIGER):
    """Decodes whole segments at every level."""

    users_at_once = JUDGED_AT_ONCE

    def search(self, memory_BSD: Tensor, latest_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        module, users = self.module, len(latest_B)
        node_BK = latest_B.new_zeros((users, 1))
        score_BK, codes_BKP = memory_BSD.new_zeros((users, 1)), latest_B.new_zeros((users, 1, 0))
        first_BC = memory_BSD.new_zeros(0)
        for level, table in enumerate(self.trie):
            states = module.decode(codes_BKP, memory_BSD, latest_B[:, None].expand_as(node_BK))
            odds_BKC = module.outputs[level](states[:, :, -1]).log_softmax(dim=2)
            first_BC = odds_BKC[:, 0] if level == 0 else first_BC
            child_BKC = table[node_BK.clamp(min=0)]
            gone_BKC = (child_BKC < 0) | (node_BK < 0)[..., None]
            total_BN = (score_BK[..., None] + odds_BKC).masked_fill(gone_BKC, -torch.inf).flatten(1)
            score_BK, chosen_BK = total_BN.topk(min(self.config.beam, total_BN.shape[1]), dim=1)
            parent_BK, code_BK = chosen_BK // odds_BKC.shape[2], chosen_BK % odds_BKC.shape[2]
            node_BK = child_BKC.flatten(1).gather(1, chosen_BK).masked_fill(score_BK.isinf(), -1)
            before = codes_BKP.gather(1, parent_BK[..., None].expand(-1, -1, level))
            codes_BKP = torch.cat([before, code_BK[..., None]], dim=2)
        return node_BK, score_BK, first_BC


def random_codes(num_items: int, config: TIGERConfig) -> Tensor:
    """[num_items, L]: drawn codes, and the number of an item among those that share them."""
    drawn = np.random.default_rng(SEED).integers(
        0, config.quantiser.codes, (num_items, config.quantiser.levels)
    )
    order = np.lexsort(drawn.T[::-1])
    new = np.ones(num_items, dtype=bool)
    new[1:] = (drawn[order][1:] != drawn[order][:-1]).any(axis=1)
    starts = np.maximum.accumulate(np.where(new, np.arange(num_items), 0))
    last = np.empty((num_items, 1), dtype=np.int64)
    last[order, 0] = np.arange(num_items) - starts
    return torch.from_numpy(np.concatenate([drawn, last], axis=1))


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
    codes, meter = random_codes(len(dataset.catalog), TIGERConfig()), Meter(torch.device("cpu"))
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
    main()
