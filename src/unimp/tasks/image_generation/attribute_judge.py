"""A judge of pictures that reads attributes from them: trained on real ones, it tells what drawn ones show.

Its penultimate features are the fixed ones that FID, KID and diversity are measured in.
"""

# P pictures, Y rows and X columns of pixels, C channels, D features, A attributes

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unimp.core.config import Config
from unimp.core.errors import DataError
from unimp.core.progress import progress_bar
from unimp.data.catalog import Catalog
from unimp.data.histories import FloatArray, IntArray
from unimp.features.pixels import Pixels
from unimp.model.vision import pixels_from_bytes

UNKNOWN = -1


class JudgeConfig(Config):
    """How the judge is trained."""

    min_pictures: int = Field(20, ge=2)
    """Labels with fewer pictures are left out, and counted."""
    held_share: float = Field(0.15, gt=0, lt=1)
    """Share of the items that the judge is examined on and never trained on."""
    height: int = Field(80, ge=8)
    """Pictures higher than this many pixels are shrunk by the smallest whole factor that fits them in."""
    channels: tuple[int, ...] = (24, 48, 96, 160)
    """Of each stage; a stage halves the picture."""
    features: int = Field(128, ge=2)
    """D, the width of the penultimate layer."""
    epochs: int = Field(25, ge=1)
    learning_rate: float = Field(4e-3, gt=0)
    batch_size: int = Field(64, ge=2)


@dataclass(frozen=True)
class JudgeAccuracy:
    """How well the judge reads one attribute from pictures that it was not trained on."""

    attribute: str
    accuracy: float
    """Share of held-out pictures read rightly; NaN when none is held out."""
    most_frequent: float
    """Share of held-out pictures with the label most frequent in training: what a blind judge gets."""
    uniform: float
    """1 / number of labels."""
    num_held: int
    num_labels: int
    labels_left_out: int
    """Labels with too few pictures."""
    pictures_left_out: int
    """Pictures with no label, or with one left out."""


class JudgeNet(nn.Module):
    """Strided convolutions, mean and maximum over the picture, one hidden layer, a head per attribute."""

    def __init__(self, channels: Sequence[int], features: int, labels: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU())
            for before, after in pairwise([3, *channels])
        )
        self.hidden = nn.Linear(2 * channels[-1], features)
        self.heads = nn.ModuleList(nn.Linear(features, count) for count in labels)

    def features(self, pixels_P3YX: Tensor) -> Tensor:
        """[P, D]."""
        x = (pixels_P3YX - 0.5) * 4.0
        for stage in self.stages:
            x = stage(x)
        return F.gelu(self.hidden(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)))

    def forward(self, pixels_P3YX: Tensor) -> list[Tensor]:
        """A logits [P, labels]."""
        features_PD = F.dropout(self.features(pixels_P3YX), 0.2, self.training)
        return [head(features_PD) for head in self.heads]


@dataclass(frozen=True)
class AttributeJudge:
    """Reads attributes from pictures."""

    network: JudgeNet
    labels: dict[str, tuple[str, ...]]
    """Attribute -> the labels it can read."""
    size: tuple[int, int]
    """Rows and columns of the pictures it works on."""
    examinations: tuple[JudgeAccuracy, ...]
    held_rows: IntArray
    """Items held out for the examination."""

    def read(self, pictures: npt.NDArray[np.uint8]) -> dict[str, list[str]]:
        """Attribute -> the likeliest label of each of N pictures [N, Y, X, 3], of any size."""
        if not len(pictures):
            return {name: [] for name in self.labels}
        with torch.inference_mode():
            logits = [self.network(part) for part in resized_parts(pictures, self.size)]
        found = [torch.cat(head).argmax(dim=1).tolist() for head in zip(*logits, strict=True)]
        return {
            name: [known[code] for code in codes]
            for (name, known), codes in zip(self.labels.items(), found, strict=True)
        }

    def features(self, pictures: npt.NDArray[np.uint8]) -> FloatArray:
        """[N, D] the penultimate layer for pictures [N, Y, X, 3] of any size."""
        if not len(pictures):
            return np.zeros((0, self.network.hidden.out_features), dtype=np.float32)
        with torch.inference_mode():
            found = [self.network.features(part) for part in resized_parts(pictures, self.size)]
        return np.asarray(torch.cat(found).numpy(), dtype=np.float32)


def shrunk_size(shape_IYX3: Sequence[int], height: int) -> tuple[int, int]:
    """Rows and columns after shrinking by the smallest whole factor that leaves at most `height` rows."""
    rows, columns = shape_IYX3[1], shape_IYX3[2]
    factor = -(-rows // height)
    return rows // factor, columns // factor


def resized(bytes_PYX3: Tensor, size: tuple[int, int]) -> Tensor:
    """[P, 3, *size] in [0, 1], shrunk by averaging."""
    pixels = pixels_from_bytes(bytes_PYX3)
    if tuple(pixels.shape[2:]) == size:
        return pixels
    return F.interpolate(pixels, size=size, mode="bilinear", antialias=True).clamp(0.0, 1.0)


def resized_parts(pictures: npt.NDArray[np.uint8], size: tuple[int, int]) -> list[Tensor]:
    """Pictures [N, Y, X, 3] as `resized` gives them, 256 at a time."""
    return [resized(part, size) for part in torch.from_numpy(pictures).split(256)]


@dataclass(frozen=True)
class AttributeTargets:
    """What the pictures of a catalogue can teach of one attribute."""

    attribute: str
    labels: tuple[str, ...]
    """Sorted."""
    codes: IntArray
    """[I] position in `labels`; UNKNOWN without a picture or a label in it."""
    labels_left_out: int
    pictures_left_out: int


def targets_of(catalog: Catalog, pixels: Pixels, attribute: str, min_pictures: int) -> AttributeTargets:
    """The labels with enough pictures."""
    values = catalog.texts[attribute]
    counts = Counter(
        value
        for value, present in zip(values, pixels.present.tolist(), strict=True)
        if present and value is not None
    )
    labels = tuple(sorted(label for label, count in counts.items() if count >= min_pictures))
    code_of = {label: code for code, label in enumerate(labels)}
    codes = np.array([UNKNOWN if value is None else code_of.get(value, UNKNOWN) for value in values])
    codes[~pixels.present] = UNKNOWN
    missing = int(pixels.present.sum()) - int((codes != UNKNOWN).sum())
    return AttributeTargets(attribute, labels, codes.astype(np.int64), len(counts) - len(labels), missing)


def readable_targets(
    catalog: Catalog, pixels: Pixels, attributes: Sequence[str] | None, min_pictures: int
) -> list[AttributeTargets]:
    """The attributes with two labels or more; DataError when there is none, or an known one is not."""
    categories = [attribute.name for attribute in catalog.attributes if attribute.kind == "category"]
    unknown = set(attributes or ()) - set(categories)
    if unknown:
        raise DataError(f"judge: {sorted(unknown)} are not category attributes; there are: {categories}")
    targets = [targets_of(catalog, pixels, name, min_pictures) for name in (attributes or categories)]
    readable = [target for target in targets if len(target.labels) >= 2]
    if not readable or (attributes and len(readable) < len(targets)):
        named = [target.attribute for target in targets if target not in readable]
        few = f"fewer than two labels with {min_pictures} pictures"
        raise DataError(f"judge: {few} in {named or 'any attribute'}; lower min_pictures")
    return readable


def train_judge(
    catalog: Catalog,
    pixels: Pixels,
    attributes: Sequence[str] | None = None,
    config: JudgeConfig | None = None,
    *,
    seed: int = 0,
    show: bool = False,
) -> AttributeJudge:
    """Train on all but the held-out items, then examine; deterministic by seed. None: every category.

    DataError when there is nothing to read.
    """
    config = config or JudgeConfig()
    targets = readable_targets(catalog, pixels, attributes, config.min_pictures)
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(pixels.present))
    num_held = max(1, round(len(rows) * config.held_share))
    held, learned = np.sort(rows[:num_held]), np.sort(rows[num_held:])
    size = shrunk_size(pixels.values.shape, config.height)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = JudgeNet(config.channels, config.features, [len(target.labels) for target in targets])
        pictures = torch.cat(resized_parts(pixels.values[learned], size))
        codes = torch.from_numpy(np.stack([target.codes[learned] for target in targets]))
        fit_network(network, pictures, codes, config, show)
    labels = {target.attribute: target.labels for target in targets}
    judge = AttributeJudge(network.eval(), labels, size, (), held.astype(np.int64))
    labels_read = judge.read(pixels.values[held])
    marks = tuple(examine(target, labels_read[target.attribute], held, learned) for target in targets)
    return AttributeJudge(judge.network, labels, size, marks, judge.held_rows)


def fit_network(
    network: JudgeNet, pictures_P3YX: Tensor, codes_AP: Tensor, config: JudgeConfig, show: bool
) -> None:
    """Cross-entropy of every attribute, unknown labels left out; pictures mirrored and shifted at random."""
    steps = config.epochs * -(-len(pictures_P3YX) // config.batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=max(2, steps))
    network.train()
    with progress_bar("training the picture judge", steps, show=show) as bar:
        for _ in range(config.epochs):
            for chosen in torch.randperm(len(pictures_P3YX)).split(config.batch_size):
                logits = network(varied(pictures_P3YX[chosen]))
                losses = [
                    F.cross_entropy(head, codes[chosen], ignore_index=UNKNOWN, label_smoothing=0.05)
                    for head, codes in zip(logits, codes_AP, strict=True)
                    if bool((codes[chosen] != UNKNOWN).any())
                ]
                if losses:
                    loss = torch.stack(losses).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                schedule.step()
                bar.advance(note=f"loss {loss.item():.3f}" if losses else "")


def varied(pixels_P3YX: Tensor) -> Tensor:
    """Each picture mirrored half of the time, the batch shifted by up to 4 pixels, edges repeated."""
    turned = torch.rand(len(pixels_P3YX), 1, 1, 1) < 0.5
    mirrored = torch.where(turned, pixels_P3YX.flip(3), pixels_P3YX)
    rows, columns = pixels_P3YX.shape[2:]
    down, right = torch.randint(0, 9, (2,)).tolist()
    return F.pad(mirrored, (4, 4, 4, 4), mode="replicate")[:, :, down : down + rows, right : right + columns]


def examine(
    target: AttributeTargets, labels_read: list[str], held: IntArray, learned: IntArray
) -> JudgeAccuracy:
    """labels_read: the labels read from the held-out pictures."""
    codes = target.codes[held]
    known = codes != UNKNOWN
    right = np.array([target.labels.index(label) for label in labels_read]) == codes
    common = np.bincount(target.codes[learned][target.codes[learned] != UNKNOWN], minlength=1).argmax()
    nan = float("nan")
    return JudgeAccuracy(
        target.attribute,
        float(right[known].mean()) if known.any() else nan,
        float((codes[known] == common).mean()) if known.any() else nan,
        1.0 / len(target.labels),
        int(known.sum()),
        len(target.labels),
        target.labels_left_out,
        target.pictures_left_out,
    )
