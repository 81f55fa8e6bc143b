"""What the model by itself reaches in the embedded shop, on validation, by what decides a user's choice.

python benchmarks/quality/shop_alone.py SHOP NAME [--set KEY=VALUE]…

Trains the demo's recipe on the shop's folder (`unimp demo --out DIR` writes DIR/shop) without mixtures and
ranker, and puts the row NAME into results/search/shop-alone.json. The test cases stay unseen.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from unimp.core.exits import one_line_errors
from unimp.data.dataset import Dataset
from unimp.demo.comparison import ranked, row_of
from unimp.demo.rankers import alone
from unimp.demo.shop.writing import shop_users
from unimp.personalizer import load
from unimp.runs.recipe import load_recipe
from unimp.runs.training_split import make_split
from unimp.train.training_run import train

RESULT = Path(__file__).parents[2] / "results" / "search" / "shop-alone.json"
ALWAYS = ('fusion.kind="closed"', "train.threads=1")


def row(shop: Path, recipe_name: str, settings: list[str]) -> dict[str, object]:
    """HR@5 on validation, in all and by taste, and among picture-decided users whose target is new."""
    started = time.process_time()
    dataset = Dataset.load(shop)
    split = make_split(dataset, "leave-one-out")
    recipe = load_recipe(recipe_name, [*ALWAYS, *settings])
    with TemporaryDirectory() as place:
        result = train(dataset, recipe, Path(place) / "run", show=False)
        personalizer = load(Path(place) / "run", data=shop)
        ranks = ranked({"alone": alone(personalizer)}, split.valid)["alone"]
    users = shop_users(shop)
    taste = dict(zip(users["user_id"].to_list(), users["taste"].to_list(), strict=True))
    tastes = np.array([taste[user] for user in split.valid.histories.user_ids.tolist()])
    judged = row_of("alone", ranks, tastes)
    events = np.bincount(split.train.item_rows, minlength=len(dataset.catalog))
    new = (events[split.valid.target_rows] == 0) & (tastes == "picture")
    return {
        "recipe": recipe_name,
        "settings": settings,
        "HR@5": round(judged.metrics["HR@5"], 4),
        "HR@5 by taste": {name: round(value, 4) for name, value in judged.hit_rate_by_taste.items()},
        "HR@5 picture decides, target without an event": round(float((ranks[new] <= 5).mean()), 4),
        "best epoch": result["best_epoch"],
        "processor seconds": round(time.process_time() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shop", type=Path)
    parser.add_argument("name")
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    options = parser.parse_args()
    rows = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    rows[options.name] = row(options.shop, options.recipe, options.settings)
    print(options.name, json.dumps(rows[options.name]))
    RESULT.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with one_line_errors():
        main()
