"""Does a photo of a catalogue item find it? Crops of the catalogue's pictures, compressed again.

`python benchmarks/quality/photos.py DATA --out results/photos/NAME.json` makes one photo of each of PHOTOS
items (a crop of 75 to 95 % of both sides, darker or brighter by up to 10 %, JPEG of quality 30 to 70) and
asks which item's picture it is: by laying it upon the catalogue's pictures, as search does (`PhotoMatch`),
by the pixel statistics of the fusion, and by the descriptors of the catalogue's own encoder, trained first.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance

from unimp.core.compute import device_name
from unimp.core.exits import one_line_errors
from unimp.data.catalog import Catalog
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray, IntArray
from unimp.data.pictures import PixelArray, fit_pixels, open_picture
from unimp.features.photo_match import PhotoMatch, thumbnails_of
from unimp.features.pixels import Pixels, load_pixels
from unimp.features.vision.catalogue import CatalogueVision
from unimp.features.vision.config import VisionConfig
from unimp.fusion.pictures import HEIGHT, WIDTH, balance, describe
from unimp.model.vision import pixels_from_bytes

PHOTOS = 1000
SIDE = 64
"""Of the square that pictures are fitted into, in pixels."""


def photo(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """A crop, at another brightness, compressed again."""
    picture = picture.convert("RGB")
    wide, high = (max(8, round(side * random.uniform(0.75, 0.95))) for side in picture.size)
    left = int(random.integers(0, picture.width - wide + 1))
    top = int(random.integers(0, picture.height - high + 1))
    cropped = picture.crop((left, top, left + wide, top + high))
    changed = ImageEnhance.Brightness(cropped).enhance(random.uniform(0.9, 1.1))
    file = io.BytesIO()
    changed.save(file, "JPEG", quality=int(random.integers(30, 71)))
    return Image.open(file)


def places(catalogue_IF: FloatArray, photos_PF: FloatArray, truth_P: np.ndarray) -> np.ndarray:
    """[P] rank of each photo's item by cosine; 1 is the first, equals count against it."""
    scores = photos_PF @ catalogue_IF.T
    own = scores[np.arange(len(truth_P)), truth_P][:, None]
    return np.asarray((scores >= own - 1e-6).sum(axis=1))


def figures(ranks: np.ndarray) -> dict[str, float]:
    return {f"first {k}": round(float((ranks <= k).mean()), 4) for k in (1, 5, 10)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=PHOTOS, help="photos that are made")
    parser.add_argument("--epochs", type=int, default=16, help="of the picture encoder; 0 leaves it out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    catalog = Dataset.load(arguments.data).catalog
    assert catalog.pictures is not None, "the data have no pictures"
    pixels = load_pixels(catalog, SIDE, SIDE)
    assert pixels is not None, "no item has a picture"
    rows = np.flatnonzero(pixels.present)
    random = np.random.default_rng(0)
    chosen = random.permutation(rows)[: arguments.photos]
    names = [catalog.picture_references[row] or "" for row in chosen]
    taken = [photo(open_picture(data, name), random) for name, data in catalog.pictures.read(names)]
    small = np.stack([fit_pixels(picture, SIDE, SIDE) for picture in taken])
    command = f"{arguments.data.name} --photos {arguments.photos} --epochs {arguments.epochs}"
    result: dict[str, Any] = {
        "command": f"python benchmarks/quality/photos.py {command}",
        "items": len(rows),
        "photos": len(chosen),
        "pixels laid upon pixels": by_pixels(pixels, small, chosen),
        "pixel statistics": by_statistics(catalog, rows, taken, chosen),
        "device": device_name(torch.device("cpu")),
    }
    if arguments.epochs:
        result["catalogue encoder"] = by_encoder(catalog, arguments.epochs, rows, small, chosen)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def by_pixels(pixels: Pixels, photos_PYX3: PixelArray, truth_P: IntArray) -> dict[str, float]:
    """What a search by picture puts first: items that `PhotoMatch` finds; and how often it finds none."""
    match = PhotoMatch(thumbnails_of(pixels.values), torch.from_numpy(pixels.present)).showing(photos_PYX3)
    started = time.process_time()
    found = [match.find(number) for number in range(len(truth_P))]
    seconds = (time.process_time() - started) / max(len(truth_P), 1)
    first = [bool(len(rows)) and rows[0] == row for rows, row in zip(found, truth_P, strict=True)]
    among = [row in rows for rows, row in zip(found, truth_P, strict=True)]
    return {
        "first 1": round(float(np.mean(first)), 4),
        "among equals": round(float(np.mean(among)), 4),
        "none found": round(float(np.mean([not len(rows) for rows in found])), 4),
        "cpu_seconds_a_photo": round(seconds, 3),
    }


def by_statistics(
    catalog: Catalog, rows: IntArray, taken: list[Image.Image], truth_P: IntArray
) -> dict[str, float]:
    """Nearest by the pixel statistics of the fusion."""
    assert catalog.pictures is not None
    names = [catalog.picture_references[row] or "" for row in rows]
    known = [
        describe(fit_pixels(open_picture(data, name), HEIGHT, WIDTH))
        for name, data in catalog.pictures.read(names)
    ]
    shown = [describe(fit_pixels(picture, HEIGHT, WIDTH)) for picture in taken]
    both = balance(np.concatenate([np.stack(known), np.stack(shown)]))
    return figures(places(both[: len(rows)], both[len(rows) :], np.searchsorted(rows, truth_P)))


def by_encoder(
    catalog: Catalog, epochs: int, rows: IntArray, photos_PYX3: PixelArray, truth_P: IntArray
) -> dict[str, float]:
    """Nearest by the descriptors of the catalogue's own encoder, which is trained for it."""
    config = VisionConfig(
        kind="catalogue", height=SIDE, image_width=SIDE, token_width=64, pretrain_epochs=epochs
    )
    started = time.process_time()
    prepared = CatalogueVision.prepare(catalog, config, seed=0, show=True)
    assert prepared is not None
    assert prepared.visual_IVE is not None
    seconds = time.process_time() - started
    with torch.inference_mode():
        found = prepared.encoder.network()(pixels_from_bytes(torch.from_numpy(photos_PYX3)))[:, 0].numpy()
    known = prepared.visual_IVE[:, 0].float().numpy()[rows]
    ranks = places(known, found, np.searchsorted(rows, truth_P))
    return figures(ranks) | {"cpu_seconds": round(seconds, 1)}


if __name__ == "__main__":
    with one_line_errors():
        main()
