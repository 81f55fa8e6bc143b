"""The shop's language. Titles and descriptions never name a colour, a pattern or a cut; reviews and some
queries do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BRANDS = (
    *("Norrvik", "Halden", "Mirabel", "Castor & Lund", "Okapi", "Solenne"),
    *("Tamsin", "Brightwell", "Ferro", "Juniper Lane"),
)
LINES = ("Everyday", "Studio", "Select", "Atelier")
"""Price bands, cheap to dear; the description names the line, and the price follows it."""
PRICE_WORDS = ("cheap", "affordable", "upscale", "luxury")
"""What people call the four lines when they search."""
PATTERN_WORDS = {"plain": "plain", "stripes": "striped", "dots": "dotted", "checks": "checked"}

NAMES = (
    *("Alder", "Arden", "Basel", "Bergen", "Brio", "Calla", "Capri", "Cedar", "Celeste", "Corfu", "Dalia"),
    *("Delta", "Dover", "Elba", "Elm", "Ember", "Fable", "Fern", "Fjord", "Flora", "Gale", "Galway"),
    *("Harbor", "Haven", "Hudson", "Ida", "Isla", "Ivy", "Java", "Jura", "Kyoto", "Lagos", "Laurel"),
    *("Lima", "Linden", "Lisbon", "Luna", "Lyra", "Malta", "Maple", "Marin", "Milan", "Mira", "Molde"),
    *("Nara", "Nico", "Nile", "Nova", "Oslo", "Otto", "Palma", "Paris", "Petra", "Piper", "Porto"),
    *("Quinn", "Reed", "Rhine", "Riga", "River", "Roma", "Runa", "Salem", "Samos", "Savoy", "Selma"),
    *("Siena", "Skye", "Sol", "Tahoe", "Talia", "Tessa", "Tivoli", "Turin", "Uma", "Vega", "Verona"),
    *("Vienna", "Wales", "Willow", "Yara", "Zuma"),
)
MATERIALS = {
    "t-shirt": ("soft jersey", "organic cotton", "a linen blend"),
    "trousers": ("stretch twill", "washed denim", "a linen blend"),
    "dress": ("flowing viscose", "organic cotton", "crisp poplin"),
    "jacket": ("water-repellent canvas", "boiled wool", "quilted nylon"),
    "bag": ("sturdy canvas", "vegetable-tanned leather", "recycled nylon"),
    "mug": ("glazed stoneware", "fine porcelain", "enamelled steel"),
    "lamp": ("spun aluminium", "woven paper", "brushed steel with linen"),
    "cushion": ("washed linen", "velvet", "organic cotton"),
}
OCCASIONS = (
    *("long weekends", "busy mornings", "quiet evenings", "small flats", "city walks"),
    *("travelling light", "family days", "working from home", "gifts"),
)
CARE = ("Easy to look after.", "Made to last.", "Made in small batches.", "Comes in recycled packaging.")

CHEERS = {
    "positive": ("Love it", "Great buy", "Perfect", "Delighted"),
    "neutral": ("Okay", "It is fine", "Average", "Decent"),
    "negative": ("Disappointed", "Poor choice", "Regret it", "Not for me"),
}
"""Summaries, by the sentiment of the rating (4-5, 3, 1-2)."""
OPINIONS = {
    "positive": (
        *("I love the {thing}.", "I am delighted with the {thing}."),
        "Could not be happier with the {thing}.",
    ),
    "neutral": ("I find the {thing} okay.", "Decent {thing}, no more.", "Mixed feelings about the {thing}."),
    "negative": (
        *("I am disappointed with the {thing}.", "I regret buying the {thing}."),
        "I cannot recommend the {thing}.",
    ),
}
"""Worded so that singular and plural fit alike."""
REASONS = {
    "positive": ("Exactly my taste.", "I would buy from here again.", "Wonderful quality."),
    "neutral": ("Does the job.", "Nothing special.", "I expected a little more."),
    "negative": ("Not my taste at all.", "Returned the next day.", "Bad quality."),
}


@dataclass(frozen=True)
class Wording:
    """Everything about an item that words can say; the first four are what the catalogue may tell."""

    category: str
    brand: str | None
    """None when the catalogue lacks it: reviews do not mention it either."""
    line: str
    price: float
    colour: str
    pattern: str
    cut: str


def pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def sentiment_of(rating: float) -> str:
    return "positive" if rating >= 4 else "negative" if rating <= 2 else "neutral"


def describe(category: str, line: str, rng: np.random.Generator) -> str:
    """Two sentences: line, material and use. Nothing that the eye decides."""
    start = "An" if line[0] in "AEIOU" else "A"
    return (
        f"{start} {line} line {category} in {pick(MATERIALS[category], rng)}, "
        f"good for {pick(OCCASIONS, rng)}. {pick(CARE, rng)}"
    )


def look(item: Wording, rng: np.random.Generator) -> str:
    """`striped red jacket`, sometimes without the pattern, sometimes with the cut."""
    words = [item.colour, item.category]
    if rng.random() < 0.75:
        words.insert(0, PATTERN_WORDS[item.pattern])
    if rng.random() < 0.25:
        words.insert(-1, item.cut)
    return " ".join(words)


def kind(item: Wording, rng: np.random.Generator) -> str:
    """`Norrvik jacket` or `Studio jacket from Norrvik`: what the catalogue's text says."""
    brand = item.brand
    if brand is None:
        return f"{item.line} {item.category}"
    return f"{brand} {item.category}" if rng.random() < 0.5 else f"{item.line} {item.category} from {brand}"


def write_review(item: Wording, rating: float, visual: bool, rng: np.random.Generator) -> tuple[str, str]:
    """Summary and review. `visual`: the writer cares for the look, and names it."""
    sentiment = sentiment_of(rating)
    thing = look(item, rng) if visual else kind(item, rng)
    opinion = pick(OPINIONS[sentiment], rng).format(thing=thing)
    return pick(CHEERS[sentiment], rng), f"{opinion} {pick(REASONS[sentiment], rng)}"


def write_query(item: Wording, visual: bool, rng: np.random.Generator) -> str:
    """What someone types who is looking for this item; a visual query is one that only pictures answer."""
    if visual:
        style = f"{PATTERN_WORDS[item.pattern]} {item.colour}"
        return f"{style} {item.category}" if rng.random() < 0.7 else f"something {style}"
    words = [item.category]
    if item.brand is not None and rng.random() < 0.7:
        words.insert(0, item.brand)
    if rng.random() < 0.6 or len(words) == 1:
        words.insert(0, PRICE_WORDS[LINES.index(item.line)])
    if rng.random() < 0.2:
        words.append(f"under {int(item.price // 10 + 1) * 10}")
    return " ".join(words)
