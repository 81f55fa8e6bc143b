"""Does a photo of a catalogue item find it? Crops of the catalogue's pictures, compressed again.

`python benchmarks/quality/photos.py DATA --out results/photos/NAME.json` trains the catalogue's own picture
encoder, makes one photo of each of PHOTOS items (a crop of 75 to 95 % of both sides, darker or brighter by up
to 10 %, JPEG of quality 30 to 70) and asks which item's picture is nearest, by the encoder's descriptors and,
beside them, by the pixel statistics of the fusion.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance

from unimp.core.compute import device_name
from unimp.data.dataset import Dataset
from unimp.data.histories import FloatArray
from unimp.data.pictures import PixelArray, fit_pixels, open_picture
from unimp.features.vision.catalogue import CatalogueVision
from unimp.features.vision.config import VisionConfig
from unimp.fusion.pictures import HEIGHT, WIDTH, balance, describe
from unimp.model.vision import pixels_from_bytes

PHOTOS = 1000


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
    parser.add_argument("--epochs", type=int, default=16)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    catalog = Dataset.load(arguments.data).catalog
    assert catalog.pictures is not None, "the data have no pictures"
    config = VisionConfig(
        kind="catalogue", height=64, image_width=64, token_width=64, pretrain_epochs=arguments.epochs
    )
    started = time.process_time()
    prepared = CatalogueVision.prepare(catalog, config, seed=0, show=True)
    assert prepared is not None
    assert prepared.visual_IVE is not None
    seconds = time.process_time() - started
    shown = prepared.present_I.numpy()
    random = np.random.default_rng(0)
    chosen = random.permutation(np.flatnonzero(shown))[:PHOTOS]
    names = [catalog.picture_references[row] or "" for row in chosen]
    small: list[PixelArray] = []
    plain: list[FloatArray] = []
    for name, data in catalog.pictures.read(names):
        taken = photo(open_picture(data, name), random)
        small.append(fit_pixels(taken, *config.own_size))
        plain.append(describe(fit_pixels(taken, HEIGHT, WIDTH)))
    with torch.inference_mode():
        found = prepared.encoder.network()(pixels_from_bytes(torch.from_numpy(np.stack(small))))[:, 0].numpy()
    rows = np.flatnonzero(shown)
    truth = np.searchsorted(rows, chosen)
    descriptors = prepared.visual_IVE[:, 0].float().numpy()[rows]
    raw = [
        describe(fit_pixels(open_picture(data, name), HEIGHT, WIDTH))
        for name, data in catalog.pictures.read([catalog.picture_references[row] or "" for row in rows])
    ]
    both = balance(np.concatenate([np.stack(raw), np.stack(plain)]))
    result = {
        "command": f"python benchmarks/quality/photos.py {arguments.data.name} --epochs {arguments.epochs}",
        "items": len(rows),
        "photos": len(chosen),
        "catalogue encoder": figures(places(descriptors, found, truth)),
        "pixel statistics": figures(places(both[: len(rows)], both[len(rows) :], truth)),
        "encoder_cpu_seconds": round(seconds, 1),
        "device": device_name(torch.device("cpu")),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
