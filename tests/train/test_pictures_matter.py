"""Users whose choice only the pictures decide: the model beats its image-blind self."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.train.conftest import tiny_recipe
from unimp.data.catalog import Attribute, Catalog
from unimp.data.dataset import Dataset
from unimp.data.interactions import COLUMNS, Interactions
from unimp.data.pictures import PictureSource
from unimp.evaluate.evaluation import evaluate_run
from unimp.runs.open_run import open_run
from unimp.train.training_run import train

COLOURS = [(220, 30, 30), (30, 180, 60), (40, 60, 220), (240, 220, 40), (160, 40, 180), (20, 20, 20)]
CORE, ARRIVALS = 4, 4
PER_COLOUR = CORE + ARRIVALS
NUM_ITEMS = PER_COLOUR * len(COLOURS)


def write_pictures(folder: Path) -> None:
    rng = np.random.default_rng(1)
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for item in range(NUM_ITEMS):
            tint = np.clip(np.array(COLOURS[item % len(COLOURS)]) + rng.normal(0, 8, 3), 0, 255)
            file = io.BytesIO()
            Image.new("RGB", (16, 16), tuple(int(channel) for channel in tint)).save(file, "PNG")
            archive.writestr(f"{item}.png", file.getvalue())


@pytest.fixture
def colour_shop(tmp_path: Path) -> Dataset:
    """Each user buys one colour: three core items, then two arrivals that training never sees."""
    rng = np.random.default_rng(0)
    rows, users = [], []
    for user in range(240):
        colour = user % len(COLOURS)
        items = np.arange(PER_COLOUR) * len(COLOURS) + colour
        bought = [*rng.permutation(items[:CORE])[:3], *rng.permutation(items[CORE:])[:2]]
        rows += [int(row) for row in bought]
        users += [f"u{user:03}"] * len(bought)
    events = pl.DataFrame({"user_id": users, "item_row": rows}).with_columns(
        timestamp=None, rating=None, summary=None, review=None
    )
    items = pl.DataFrame(
        {
            "item_id": [f"i{item}" for item in range(NUM_ITEMS)],
            "picture": [f"{item}.png" for item in range(NUM_ITEMS)],
            "title": [f"thing {item % 5}" for item in range(NUM_ITEMS)],
        }
    )
    folder = tmp_path / "data"
    source = PictureSource(folder / "pictures.zip")
    return Dataset.write(
        folder,
        Catalog(items, (Attribute("title", "text"),), "title", source),
        Interactions(events.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())),
        source="test",
        extra=write_pictures,
    )


def hit_rate(dataset: Dataset, folder: Path, *, sees: bool) -> float:
    recipe = tiny_recipe(
        vision={"enabled": sees, "trainable": True, "token_width": 16},
        model={"width": 32, "hidden": 64, "dropout": 0.1, "input_dropout": 0.1, "identity_dropout": 0.3},
        objective={"cold_negatives": False},
        structure={"kind": "none", "content": False},
        train={"epochs": 30, "patience": 30, "lr": 5e-3, "batch_positions": 256},
    )
    train(dataset, recipe, folder, show=False)
    report = evaluate_run(open_run(folder), show=False)
    return float(report["tasks"]["recommendation"]["metrics"]["HR@5"])


def test_seeing_beats_blind_on_items_that_only_pictures_describe(
    colour_shop: Dataset, tmp_path: Path
) -> None:
    seeing = hit_rate(colour_shop, tmp_path / "seeing", sees=True)
    blind = hit_rate(colour_shop, tmp_path / "blind", sees=False)
    assert seeing > 0.5
    assert seeing > 3 * blind


def test_untrained_items_keep_no_identity(colour_shop: Dataset, tmp_path: Path) -> None:
    hit_rate(colour_shop, tmp_path / "run", sees=False)
    run = open_run(tmp_path / "run")
    identities = run.model.items.identity.weight.detach().abs().sum(dim=1).numpy()
    assert ((identities == 0) == (run.artifacts.popularity == 0)).all()
    assert (identities == 0).sum() == ARRIVALS * len(COLOURS)
