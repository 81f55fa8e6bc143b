"""One user's answers to the tasks beside recommendation, ready to be looked at."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from PIL import Image

from unimp.core.images import png_bytes
from unimp.demo.cards import ItemCard, card, data_uris
from unimp.demo.result import Demo
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.image_generation.task import ImageGenerationTask
from unimp.tasks.search.task import SearchTask
from unimp.tasks.selection.task import SelectionTask

RESULTS = 6
DRAWN = 4
SCALE = 3
"""Generated pictures are small; each pixel is shown so many times larger."""


@dataclass(frozen=True)
class Showcase:
    """What one user is answered."""

    query: str
    found: tuple[ItemCard, ...]
    asked: ItemCard
    """The item that is rated and explained: the one the user really chose next."""
    levels: tuple[tuple[float, float], ...]
    """(rating, probability)."""
    mean: float
    truth: float | None
    explanation: str
    because: tuple[str, ...]
    """Sentences that tie the item to the user's history."""
    written: str | None
    """The sentence the user really wrote."""
    candidates: tuple[ItemCard, ...]
    drawn: tuple[str, ...]
    """Data URIs of generated pictures."""
    wished: str
    """The words that guided them."""
    real: tuple[ItemCard, ...]
    """Real items of the same words."""


def showcase(demo: Demo, row: int) -> Showcase:
    """The answers for test case `row`."""
    run, personalizer = demo.personalizer.run, demo.personalizer
    catalog = run.dataset.catalog
    cases = demo.split.test.select(np.array([row]))
    parts = personalizer.answerer.parts
    search, selection = parts.task(SearchTask), parts.task(SelectionTask)
    explaining, drawing = parts.task(ExplanationTask), parts.task(ImageGenerationTask)
    history = [catalog.item_ids[item] for item in cases.histories.items_of(0).tolist()]
    target = catalog.item_ids[int(cases.target_rows[0])]
    posed = search.queries(cases)[0]
    query = (
        posed.query.text
        if posed is not None and posed.query.text
        else catalog.texts["category"][int(cases.target_rows[0])]
    )
    results = personalizer.search(query or "", history=history, k=RESULTS)
    choices = selection.choices(cases, hard=True)
    offered = [catalog.item_ids[item] for item in choices.candidates[0].tolist()]
    picked = personalizer.select(offered, history=history)
    texts, ratings = explaining.truth(cases)
    forecast = personalizer.rate(target, history=history)
    wished = drawing.guidance(cases)[0].text
    drawn = personalizer.imagine(wished, history=history, count=DRAWN)
    alike = personalizer.search(wished, history=[], k=DRAWN).items
    names = [item.item_id for item in results.items]
    explained = personalizer.explain(target, history=history)
    pictures = data_uris(catalog, [*names, *offered, target, *(item.item_id for item in alike)])
    return Showcase(
        query or "",
        tuple(
            card(catalog, name, pictures, "bought next" if name == target else "", name == target)
            for name in names
        ),
        card(catalog, target, pictures),
        tuple(zip(forecast.levels, forecast.probabilities, strict=True)),
        forecast.mean,
        float(ratings[0]) if ratings[0] == ratings[0] else None,
        explained.text,
        explained.because,
        texts[0],
        tuple(
            card(
                catalog,
                one.item_id,
                pictures,
                f"{one.probability:.0%}" + (" · bought next" if one.item_id == target else ""),
                one.chosen,
            )
            for one in picked.candidates
        ),
        tuple(picture_uri(picture) for picture in drawn.pictures),
        wished,
        tuple(card(catalog, item.item_id, pictures, "") for item in alike),
    )


def picture_uri(picture: np.ndarray) -> str:
    image = Image.fromarray(picture)
    image = image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.BICUBIC)
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode()
