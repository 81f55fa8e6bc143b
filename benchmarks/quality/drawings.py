"""Drawn pictures beside the nearest real ones: a page to look at, and whether anything was copied.

    python benchmarks/quality/drawings.py RUN --out results/drawings/NAME.json --page PAGE.html [--cases 300]

Draws for the first test cases with a history, in the words that `unimp evaluate` uses, and finds for each
drawing the nearest real picture of the catalogue: root mean square difference of pixels in 0…1, at the image
tokenizer's size. Two yardsticks stand beside it: how far a real picture is from the nearest other one, and
how far from its own reconstruction by the tokenizer, which a drawing that copied it would have. `copies` is
the share of drawings that are nearer to a real picture than nine tenths of reconstructions are to theirs;
the share of real pictures that are as near to another real one stands beside it.
The page shows the first 48: the drawing, the nearest real picture, and what the user chose next.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

import unimp
from unimp.core.exits import one_line_errors
from unimp.core.images import png_bytes
from unimp.features.pixels import load_pixels
from unimp.runs.training_split import make_split
from unimp.tasks.image_generation.decoder import paint
from unimp.tasks.image_generation.task import ImageGenerationTask

SHOWN, ROWS_AT_ONCE = 48, 16
SUMMARY = ("cases", "medians", "copies", "real pictures as near to another", "different nearest")
STYLE = """body{font:14px/1.4 system-ui,sans-serif;margin:2rem;max-width:72rem}main{display:grid;gap:1rem;
grid-template-columns:repeat(auto-fill,minmax(15rem,1fr))}figure{margin:0}figure div{display:flex;gap:.3rem}
img{width:32%;image-rendering:auto;border:1px solid #8884}figcaption{color:#666}"""


def distances(pictures: np.ndarray, real: np.ndarray) -> np.ndarray:
    """[N, I] root mean square difference of uint8 pictures [N, Y, X, 3] and [I, Y, X, 3], in 0…1."""
    known = real.reshape(len(real), -1).astype(np.float32) / 255
    found = [
        np.sqrt(np.maximum(squares(part.reshape(len(part), -1).astype(np.float32) / 255, known), 0))
        for part in np.split(pictures, range(ROWS_AT_ONCE, len(pictures), ROWS_AT_ONCE))
    ]
    return np.concatenate(found)


def squares(a_NP: np.ndarray, b_IP: np.ndarray) -> np.ndarray:
    """[N, I] mean squared differences."""
    apart = (a_NP**2).sum(axis=1)[:, None] + (b_IP**2).sum(axis=1) - 2 * a_NP @ b_IP.T
    return np.asarray(apart / a_NP.shape[1])


def measure(run: Path, cases_wanted: int, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The result document, and what the page shows."""
    trained = unimp.load(run)
    parts, artifacts = trained.answerer.parts, trained.run.artifacts
    task, catalog = parts.find(ImageGenerationTask), trained.run.dataset.catalog
    if task is None or parts.tokenizer is None:
        raise SystemExit(f"{run}: this run does not draw; train one with the task `imagination`")
    config = parts.tokenizer.config
    pixels = load_pixels(catalog, config.height, config.image_width)
    assert pixels is not None
    rows = np.flatnonzero(pixels.present)
    real = pixels.values[rows]
    cases = make_split(trained.run.dataset, artifacts.recipe.train.split).test
    wanted = (cases.target_rows >= 0) & (cases.histories.lengths > 0)
    wanted[wanted] &= pixels.present[cases.target_rows[wanted]]
    cases = cases.select(np.flatnonzero(wanted)[:cases_wanted])
    words = task.guidance(cases)
    drawn = parts.decoder(task).imagine(cases.histories, words, seed)
    apart = distances(drawn, real)
    nearest = apart.argmin(axis=1)
    codes = task.context.codes
    assert codes is not None
    targets = cases.target_rows
    with torch.inference_mode():
        again = paint(parts.tokenizer, torch.from_numpy(codes[targets].astype(np.int64)))
    rebuilt = np.sqrt(
        ((again.astype(np.float32) - pixels.values[targets].astype(np.float32)) ** 2).mean((1, 2, 3))
    )
    rebuilt /= 255
    between = distances(pixels.values[targets], real)
    between[between < 1e-3] = np.inf  # itself, and others with the very same picture
    limit = float(np.quantile(rebuilt, 0.9))
    values = {
        "drawn to nearest real": apart.min(axis=1),
        "real to nearest other real": between.min(axis=1),
        "real to its reconstruction": rebuilt,
    }
    document = {
        "what": " ".join((__doc__ or "").split("\n\n")[2].split()),
        "seed": seed,
        "cases": len(cases),
        "size": [config.height, config.image_width],
        "medians": {name: round(float(np.median(one)), 4) for name, one in values.items()},
        "copies": float((values["drawn to nearest real"] < limit).mean()),
        "real pictures as near to another": float((values["real to nearest other real"] < limit).mean()),
        "different nearest": len(set(nearest.tolist())),
        "values": {name: [round(float(value), 4) for value in one] for name, one in values.items()},
        "nearest": [catalog.item_ids[rows[row]] for row in nearest.tolist()],
    }
    shown = [
        {
            "words": words[case].text or "no words",
            "pictures": [drawn[case], real[nearest[case]], pixels.values[targets[case]]],
            "distance": float(apart[case, nearest[case]]),
        }
        for case in range(min(SHOWN, len(cases)))
    ]
    return document, shown


def page(shown: list[dict[str, Any]], document: dict[str, Any]) -> str:
    figures = []
    for one in shown:
        images = "".join(
            f'<img alt="{label}" src="data:image/png;base64,{base64.b64encode(png_bytes(picture)).decode()}">'
            for label, picture in zip(("drawn", "nearest real", "chosen next"), one["pictures"], strict=True)
        )
        caption = f"{html.escape(one['words'])} · {one['distance']:.3f} from the nearest"
        figures.append(f"<figure><div>{images}</div><figcaption>{caption}</figcaption></figure>")
    medians = ", ".join(f"{name} {value:.3f}" for name, value in document["medians"].items())
    return (
        f'<!doctype html><meta charset="utf-8"><title>Drawn pictures</title><style>{STYLE}</style>'
        "<h1>Drawn, nearest real, chosen next</h1>"
        f"<p>Root mean square difference of pixels, medians: {medians}. Copies: {document['copies']:.1%} "
        f"(of real pictures, {document['real pictures as near to another']:.1%} are as near to another).</p>"
        f"<main>{''.join(figures)}</main>"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    document, shown = measure(options.run, options.cases, options.seed)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document) + "\n", encoding="utf-8")
    print(json.dumps({name: document[name] for name in SUMMARY}))
    if options.page is not None:
        options.page.write_text(page(shown, document), encoding="utf-8")
        print(options.page)


if __name__ == "__main__":
    with one_line_errors():
        main()
