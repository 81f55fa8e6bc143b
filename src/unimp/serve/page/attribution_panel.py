"""What mattered for one item: the history's items and attributes left out one by one, and where it looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from unimp.data.histories import FloatArray
from unimp.data.pictures import open_picture
from unimp.features.vision.config import VisionConfig
from unimp.inference.attention_maps import AttentionMap
from unimp.inference.attribution import Attribution, LeaveOneOutAttribution
from unimp.model.vision import GRID
from unimp.personalizer import Personalizer
from unimp.serve.model import ServedModel
from unimp.serve.page.heat import heat, jpeg_base64
from unimp.serve.service import Service
from unimp.serve.users import UserHistory, stack_histories
from unimp.tasks.explanation.attention import explanation_attention_map
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.recommendation.task import RecommendationTask

LATEST = 12
"""Events of the history that are left out, the latest ones."""


@dataclass(frozen=True)
class Findings:
    """Both views of one item."""

    attribution: Attribution
    explanation: AttentionMap | None
    """Where the first word of the explanation looks."""


@dataclass(frozen=True)
class AttributionCard:
    """One item of the history, or one picture, as the page shows it."""

    item: str
    title: str
    heat: str | None
    """JPEG in base64; None where there is no picture, or its visual tokens have no place in it."""
    pictured: bool
    note: str


@dataclass(frozen=True)
class ContributionBar:
    """One attribute; `start` and `width` place its bar between -1 and 1."""

    name: str
    factor: str
    start: float
    width: float
    against: bool


def can_attribute(model: ServedModel) -> bool:
    """Whether the checkpoint ranks items: attribution explains that ranking."""
    return model.personalizer.answerer.find(RecommendationTask) is not None


def find(model: ServedModel, history: UserHistory, item_row: int) -> Findings:
    """Blocks: for the model's thread. Needs the task recommendation."""
    personalizer, histories = model.personalizer, stack_histories([history])
    answerer = personalizer.answerer
    erasure = LeaveOneOutAttribution(
        answerer.decoder(RecommendationTask),
        personalizer.run.dataset.catalog,
        personalizer.run.artifacts.item_text,
    )
    explanation = None
    explainer = answerer.find(ExplanationTask)
    if explainer is not None:
        explanation = explanation_attention_map(explainer, histories, item_row)
    return Findings(erasure.attribution(histories, item_row, LATEST), explanation)


async def mattered(service: Service, history: UserHistory, item: str) -> dict[str, Any]:
    """What the panel shows."""
    row = service.catalog.rows([item])[0]
    found = await service.call(find, service.model, history, row)
    panel = partial(shown, service.personalizer, found, len(history.item_rows))
    return await service.decoding.run(service.decoding.max_bytes, panel)  # the catalogue's, of any size


def shown(personalizer: Personalizer, found: Findings, known: int) -> dict[str, Any]:
    """Blocks: pictures are decoded."""
    looked = found.explanation
    reasons: list[AttributionCard] = []
    if looked is not None:
        order = sorted(range(len(looked.picture_rows)), key=lambda place: -looked.share(place))
        for place in order:
            note = f"{100 * looked.share(place):.0f} % of the look"
            reasons.append(card(personalizer, looked.picture_rows[place], looked.within(place), note))
    cards = []
    for item in sorted(found.attribution.items, key=lambda item: -item.change):
        own = None if item.look is None else item.look.within(0)
        note = factor(item.change)
        if item.picture_change is not None:
            note += f", picture alone {factor(item.picture_change)}"
        cards.append(card(personalizer, item.item_row, own, note))
    return {
        "cards": cards,
        "bars": bars(found.attribution.attributes),
        "reasons": reasons,
        "looked": bool(reasons) or any(item.look is not None for item in found.attribution.items),
        "probability": share(found.attribution.log_probability),
        "left_out": len(cards),
        "known": known,
        "sentences": bool(personalizer.run.artifacts.recipe.content.encoder),
    }


def card(personalizer: Personalizer, row: int, weights: FloatArray | None, note: str) -> AttributionCard:
    catalog, vision = personalizer.run.dataset.catalog, personalizer.run.artifacts.recipe.vision
    reference, drawn = catalog.picture_references[row], None
    described = vision.kind == "catalogue" and not vision.encoder and not vision.resampler
    if weights is not None and described:  # the first token is of the whole picture, at no place of it
        weights = weights[1:] / max(float(weights[1:].sum()), 1e-9)
    grid = None if weights is None else grid_of(vision, len(weights))
    if weights is not None and grid and reference is not None and catalog.pictures is not None:
        data = next(iter(catalog.pictures.read([reference])))[1]
        drawn = jpeg_base64(heat(open_picture(data, reference), weights, grid))
    return AttributionCard(catalog.item_ids[row], catalog.label(row), drawn, reference is not None, note)


def grid_of(vision: VisionConfig, tokens: int) -> tuple[int, int] | None:
    """Rows and columns of a picture's visual tokens; None where they are no grid (a resampler's queries)."""
    if vision.resampler:
        return None
    # our own encoder's strides make one token of 8 x 8 pixels; a pretrained one reads squares
    side, most = math.isqrt(tokens), GRID if vision.kind == "catalogue" else tokens
    own = min(most, vision.height // 8), min(most, vision.image_width // 8)
    grid = (side, side) if vision.encoder else own
    return grid if grid[0] * grid[1] == tokens else None


def bars(attributes: Sequence[tuple[str, float]]) -> list[ContributionBar]:
    """The strongest first; the longest bar fills its side."""
    longest = max((abs(change) for _, change in attributes), default=0.0) or 1.0
    ordered = sorted(attributes, key=lambda pair: -pair[1])
    return [
        ContributionBar(name, factor(change), min(change, 0.0) / longest, abs(change) / longest, change < 0)
        for name, change in ordered
    ]


def factor(change: float) -> str:
    """`× 2.71`: how many times likelier."""
    times = math.exp(min(change, 10.0))
    if times > 1000:
        return "over × 1,000"
    return f"× {times:.2f}" if times < 9.95 else f"× {times:.0f}"


def share(log_probability: float) -> str:
    """A probability as a percentage with two digits that count, or a bound."""
    percent = 100 * math.exp(log_probability)
    if percent >= 9.95:
        return f"{percent:.0f} %"
    return f"{percent:.2g} %" if percent >= 0.001 else "less than 0.001 %"
