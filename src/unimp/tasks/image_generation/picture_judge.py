"""How generated pictures are judged: by what a network trained on real ones reads, and by its features."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from unimp.answer import Imaginer, Query
from unimp.core.errors import ConfigError, DataError
from unimp.data.catalog import Catalog
from unimp.data.histories import Cases, FloatArray
from unimp.features.image_tokenizer import tokenizer_report
from unimp.features.pixels import Pixels, load_pixels
from unimp.metrics.pictures import label_agreement, likeness, picture_metrics
from unimp.metrics.scored import mean_or_nan
from unimp.model.image_tokenizer import ImageTokenizer
from unimp.tasks.image_generation.attribute_judge import JudgeAccuracy, train_judge
from unimp.tasks.image_generation.views_judge import train_views_judge
from unimp.tasks.task import TaskScore

MOST_CASES = 1000
"""Pictures that are drawn for an evaluation, the first of the cases."""
READABLE = 1.3
"""An attribute counts when the judge's held-out accuracy is so many times the most frequent label's share."""


NOTHING_TO_READ = (
    "no attribute can be read from the catalogue's pictures: drawings are judged by the features of a "
    "network that tells its pictures apart; agreement with an attribute is not given"
)


class PictureReader(Protocol):
    """A network trained on real pictures."""

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """Attribute -> the labels it can read."""

    @property
    def examinations(self) -> tuple[JudgeAccuracy, ...]: ...

    def read(self, pictures: npt.NDArray[np.uint8]) -> dict[str, list[str]]:
        """Attribute -> the likeliest label of each of N pictures [N, Y, X, 3], of any size."""

    def features(self, pictures: npt.NDArray[np.uint8]) -> FloatArray:
        """[N, D] for pictures [N, Y, X, 3] of any size."""


@dataclass(frozen=True)
class PictureJudge:
    """Reads attributes from pictures; its own accuracy stands beside everything it says."""

    judge: PictureReader
    pixels: Pixels
    catalog: Catalog
    attributes: tuple[str, ...]
    """Those that the judge can read; there may be none."""
    tokenizer: ImageTokenizer
    seed: int

    @classmethod
    def of(cls, catalog: Catalog, tokenizer: ImageTokenizer, *, seed: int, show: bool) -> PictureJudge:
        """Trained on the catalogue's real pictures; ConfigError when they are gone.

        Where no attribute can be read from them, the judge is a network that tells them apart.
        """
        config = tokenizer.config
        pixels = load_pixels(catalog, config.height, config.image_width, show_progress=show)
        if pixels is None:
            raise ConfigError("imagination: the catalogue's pictures are gone; put them back")
        judge: PictureReader
        readable: list[str] = []
        with suppress(DataError):  # too few pictures of any label
            judge = train_judge(catalog, pixels, seed=seed, show=show)
            readable = [
                examination.attribute
                for examination in judge.examinations
                if examination.accuracy >= READABLE * examination.most_frequent
            ]
        if not readable:
            judge = train_views_judge(pixels, seed=seed, show=show)
        return cls(judge, pixels, catalog, tuple(readable), tokenizer, seed)

    def score(self, guidance: Callable[[Cases], list[Query]], method: Imaginer, cases: Cases) -> TaskScore:
        """FID, KID, diversity, likeness to the target, agreement with it in every attribute the judge reads.

        `X-told`: cases whose words name the attribute; `X-untold`: those whose words leave it to taste.
        `agreement` alone is the mean over the attributes; its values, or those of the likeness where no
        attribute is read, are the cases'.
        """
        drawn_for = np.flatnonzero((cases.target_rows >= 0) & self.pixels.present[cases.target_rows])
        drawn_for = drawn_for[:MOST_CASES]
        batch = cases.select(drawn_for)
        queries = guidance(batch)
        pictures = method.imagine(batch.histories, queries, 0)
        real = self.pixels.values[batch.target_rows]
        shown, wanted = self.features(pictures), self.features(real)
        metrics = picture_metrics(shown, wanted)
        alike = likeness(shown, wanted)
        metrics["likeness"] = mean_or_nan(alike.tolist())
        each: np.ndarray = alike
        of = "likeness"
        if self.attributes:
            read = self.judge.read(pictures)
            for attribute in self.attributes:
                metrics |= self.agreement(attribute, read[attribute], batch, queries)
            each, of = self.hits(read, batch), "agreement"
            metrics[of] = mean_or_nan(each[~np.isnan(each)].tolist())
        values = np.full(len(cases), np.nan)
        values[drawn_for] = each
        return TaskScore(metrics, len(cases), len(cases) - len(batch), values=values, values_of=of)

    def hits(self, read: dict[str, list[str]], cases: Cases) -> FloatArray:
        """[cases] the share of the readable attributes in which a picture is as the target's; NaN if none."""
        hits = np.stack([self.hits_in(attribute, read[attribute], cases) for attribute in self.attributes])
        known = (~np.isnan(hits)).sum(axis=0)
        share = np.nansum(hits, axis=0) / np.maximum(known, 1)
        return np.asarray(np.where(known > 0, share, np.nan))

    def hits_in(self, attribute: str, read: list[str], cases: Cases) -> FloatArray:
        """[cases] 1 where a picture shows the target's label, else 0; NaN where the target has none."""
        pairs = zip(read, self.wanted(attribute, cases), strict=True)
        return np.array([np.nan if wanted is None else float(seen == wanted) for seen, wanted in pairs])

    def wanted(self, attribute: str, cases: Cases) -> list[str | None]:
        """Each target's label; None where it has none that the judge knows."""
        known, texts = set(self.judge.labels[attribute]), self.catalog.texts[attribute]
        return [text if (text := texts[row]) in known else None for row in cases.target_rows.tolist()]

    def features(self, pictures: np.ndarray) -> FloatArray:
        return self.judge.features(pictures)

    def agreement(
        self, attribute: str, read: list[str], cases: Cases, queries: list[Query]
    ) -> dict[str, float]:
        wanted = self.wanted(attribute, cases)
        told = [
            label is not None and label in query.text for label, query in zip(wanted, queries, strict=True)
        ]
        name = f"agreement-{attribute}"
        return {
            name: label_agreement(read, wanted)["agreement"],
            f"{name}-told": label_agreement(read, only(wanted, told))["agreement"],
            f"{name}-untold": label_agreement(read, only(wanted, [not is_told for is_told in told]))[
                "agreement"
            ],
        }

    def note(self) -> str | None:
        return None if self.attributes else NOTHING_TO_READ

    def facts(self) -> dict[str, float]:
        """What the judge itself is worth, and how well the codes keep pictures."""
        facts: dict[str, float] = {}
        for examination in self.judge.examinations:
            if examination.attribute in self.attributes:
                facts[f"judge-accuracy-{examination.attribute}"] = examination.accuracy
                facts[f"chance-{examination.attribute}"] = examination.uniform
                facts[f"most-frequent-{examination.attribute}"] = examination.most_frequent
        report = tokenizer_report(self.tokenizer, self.pixels, seed=self.seed)
        return facts | {
            "tokenizer-PSNR": report.train_psnr,
            "tokenizer-PSNR-held-out": report.held_out_psnr,
            "tokenizer-usage": report.usage,
        }


def only(labels: list[str | None], kept: list[bool]) -> list[str | None]:
    """The labels where `kept`, None elsewhere."""
    return [label if keep else None for label, keep in zip(labels, kept, strict=True)]
