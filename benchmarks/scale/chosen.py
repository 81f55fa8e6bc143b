"""What the data choose, beside the recipe that was tuned for them.

    python benchmarks/scale/chosen.py --data hm=DIR=small-hm --data beauty=DIR=small-beauty --out FILE

Writes the facts, the choices with their reasons, and every key in which the two recipes differ.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from unimp.core.config import dotted
from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.runs.choosing import DataFacts, choices, chosen_recipe
from unimp.runs.recipe import load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", action="append", required=True, help="NAME=FOLDER[=RECIPE]; repeatable")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    report: dict[str, Any] = {}
    for entry in options.data:
        name, folder, *tuned = entry.split("=")
        facts = DataFacts.of(Dataset.load(folder), torch.device("cpu"))
        report[name] = {"facts": asdict(facts), "choices": [asdict(choice) for choice in choices(facts)]}
        if tuned:
            chosen = dotted(chosen_recipe(facts).model_dump(mode="json"))
            other = dotted(load_recipe(tuned[0]).model_dump(mode="json"))
            report[name]["tuned recipe"] = tuned[0]
            report[name]["differs in"] = {
                key: {"chosen": chosen[key], "tuned": other[key]}
                for key in chosen
                if chosen[key] != other[key]
            }
        print(name, report[name].get("differs in"))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
