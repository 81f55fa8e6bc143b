"""What the shop sells, as outlines: eight categories, three cuts each.

Coordinates run from 0 to 1, x to the right and y down. Most outlines are symmetric and given as their right
half, x counted from the middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
Outline = tuple[Point, ...]


@dataclass(frozen=True)
class Silhouette:
    """The shapes of one cut of one category, painted in the order of the fields."""

    body: tuple[Outline, ...]
    """Filled with the item's colour and pattern."""
    under: tuple[Outline, ...] = ()
    """Filled with a dark shade of the item's colour, behind the body: handles, straps, hoods."""
    stand: tuple[Outline, ...] = ()
    """Filled with neutral metal, behind the body: what holds a lamp."""
    inside: tuple[Outline, ...] = ()
    """Filled with a dark shade, over the body: an opening one looks into."""
    lines: tuple[Outline, ...] = ()
    """Thin dark strokes over the body: seams, zips, collars."""
    light: tuple[Outline, ...] = ()
    """Filled with off-white, over the body: the shirt under a blazer, buttons."""


def mirror(half: Sequence[Point]) -> Outline:
    """The whole outline from its right half, listed from the top middle to the bottom middle."""
    right = [(0.5 + x, y) for x, y in half]
    left = [(0.5 - x, y) for x, y in reversed(half)]
    return tuple(right + left)


def arc(
    x: float, y: float, width: float, height: float, start: float = 0.0, stop: float = 360.0, points: int = 40
) -> Outline:
    """Part of an ellipse around (x, y) with half axes `width` and `height`; degrees, clockwise from east."""
    angles = [math.radians(start + (stop - start) * step / (points - 1)) for step in range(points)]
    return tuple((x + width * math.cos(angle), y + height * math.sin(angle)) for angle in angles)


def band(x: float, y: float, width: float, height: float, thick: float, start: float, stop: float) -> Outline:
    """An arc with thickness: a handle or a strap."""
    outer = arc(x, y, width, height, start, stop)
    inner = arc(x, y, width - thick, height - thick, stop, start)
    return outer + inner


def box(left: float, top: float, right: float, bottom: float) -> Outline:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def shirts() -> dict[str, Silhouette]:
    sleeve = [(0.21, 0.17), (0.42, 0.34), (0.33, 0.48), (0.23, 0.40), (0.23, 0.86), (0.0, 0.87)]
    crew = mirror([(0.0, 0.23), (0.06, 0.215), (0.11, 0.15), *sleeve])
    vee = mirror([(0.0, 0.38), (0.11, 0.14), *sleeve])
    tank = mirror(
        [
            *[(0.0, 0.33), (0.06, 0.31), (0.09, 0.25), (0.10, 0.13), (0.165, 0.13), (0.17, 0.28)],
            *[(0.20, 0.36), (0.25, 0.41), (0.25, 0.87), (0.0, 0.88)],
        ]
    )
    hem = ((0.29, 0.81), (0.71, 0.81))
    return {
        "crew": Silhouette((crew,), lines=(arc(0.5, 0.15, 0.135, 0.12, 15, 165), hem)),
        "vneck": Silhouette((vee,), lines=(((0.36, 0.16), (0.5, 0.44), (0.64, 0.16)), hem)),
        "tank": Silhouette((tank,), lines=(((0.27, 0.82), (0.73, 0.82)),)),
    }


def dresses() -> dict[str, Silhouette]:
    flared = mirror(
        [
            (0.0, 0.22),
            (0.07, 0.2),
            (0.09, 0.08),
            (0.14, 0.08),
            (0.16, 0.26),
            (0.11, 0.40),
            (0.35, 0.89),
            (0, 0.94),
        ]
    )
    pencil = mirror(
        [
            *[(0.0, 0.14), (0.08, 0.13), (0.11, 0.08), (0.19, 0.10), (0.20, 0.24), (0.17, 0.26)],
            *[(0.13, 0.42), (0.19, 0.60), (0.15, 0.94), (0.0, 0.94)],
        ]
    )
    sleeved = mirror(
        [
            *[(0.0, 0.16), (0.08, 0.14), (0.11, 0.08), (0.18, 0.10), (0.39, 0.44), (0.31, 0.50)],
            *[(0.17, 0.30), (0.12, 0.44), (0.28, 0.92), (0.0, 0.93)],
        ]
    )
    waist = ((0.385, 0.41), (0.615, 0.41))
    return {
        "flared": Silhouette(
            (flared,), lines=(waist, ((0.45, 0.5), (0.38, 0.88)), ((0.55, 0.5), (0.62, 0.88)))
        ),
        "pencil": Silhouette((pencil,), lines=(waist, ((0.5, 0.78), (0.5, 0.93)))),
        "sleeved": Silhouette((sleeved,), lines=(waist, arc(0.5, 0.08, 0.13, 0.11, 15, 165))),
    }


def trousers() -> dict[str, Silhouette]:
    slim = mirror(
        [(0, 0.09), (0.19, 0.09), (0.22, 0.30), (0.19, 0.93), (0.07, 0.93), (0.025, 0.40), (0, 0.37)]
    )
    wide = mirror(
        [(0, 0.09), (0.17, 0.09), (0.22, 0.32), (0.38, 0.93), (0.10, 0.93), (0.02, 0.42), (0, 0.38)]
    )
    shorts = mirror([(0, 0.20), (0.24, 0.20), (0.34, 0.72), (0.07, 0.76), (0.02, 0.52), (0, 0.48)])
    fly = ((0.5, 0.16), (0.5, 0.36))
    return {
        "slim": Silhouette((slim,), lines=(((0.31, 0.155), (0.69, 0.155)), fly)),
        "wide": Silhouette((wide,), lines=(((0.32, 0.155), (0.68, 0.155)), fly)),
        "shorts": Silhouette((shorts,), lines=(((0.26, 0.28), (0.74, 0.28)), ((0.5, 0.28), (0.5, 0.47)))),
    }


def jackets() -> dict[str, Silhouette]:
    arms = [(0.22, 0.18), (0.31, 0.30), (0.41, 0.76), (0.30, 0.80), (0.23, 0.44), (0.235, 0.87), (0.0, 0.87)]
    zipped = mirror([(0.0, 0.13), (0.10, 0.12), (0.12, 0.15), *arms])
    tails = [(0.22, 0.17), (0.30, 0.28), (0.37, 0.80), (0.27, 0.82), (0.22, 0.44), (0.26, 0.94), (0.08, 0.94)]
    blazer = mirror([(0.0, 0.13), (0.10, 0.12), (0.12, 0.15), *tails, (0.0, 0.80)])
    pockets = (((0.33, 0.64), (0.42, 0.70)), ((0.67, 0.64), (0.58, 0.70)))
    zipper = ((0.5, 0.14), (0.5, 0.87))
    collar = ((0.39, 0.13), (0.5, 0.24), (0.61, 0.13))
    hood = arc(0.5, 0.17, 0.19, 0.13)
    opening = mirror([(0.0, 0.13), (0.09, 0.13), (0.0, 0.50)])
    lapels = (((0.40, 0.12), (0.36, 0.26), (0.5, 0.52)), ((0.60, 0.12), (0.64, 0.26), (0.5, 0.52)))
    buttons = (arc(0.5, 0.60, 0.022, 0.022), arc(0.5, 0.71, 0.022, 0.022))
    return {
        "zipped": Silhouette((zipped,), lines=(zipper, collar, *pockets)),
        "hooded": Silhouette(
            (zipped, hood),
            inside=(arc(0.5, 0.19, 0.10, 0.075),),
            lines=(((0.5, 0.27), (0.5, 0.87)), *pockets),
        ),
        "blazer": Silhouette(
            (blazer,), light=(opening, *buttons), lines=(*lapels, ((0.5, 0.52), (0.5, 0.82)))
        ),
    }


def bags() -> dict[str, Silhouette]:
    tote = mirror([(0.0, 0.40), (0.28, 0.40), (0.33, 0.89), (0.0, 0.90)])
    pouch = arc(0.5, 0.60, 0.33, 0.30)
    rucksack = mirror(
        [(0, 0.20), (0.14, 0.21), (0.23, 0.29), (0.26, 0.44), (0.28, 0.84), (0.24, 0.90), (0, 0.90)]
    )
    strap = band(0.5, 0.40, 0.20, 0.30, 0.045, 180, 360)
    loop = band(0.5, 0.21, 0.09, 0.12, 0.04, 180, 360)
    sides = (box(0.17, 0.48, 0.25, 0.80), box(0.75, 0.48, 0.83, 0.80))
    pocket = ((0.33, 0.84), (0.33, 0.60), (0.67, 0.60), (0.67, 0.84), (0.33, 0.84))
    return {
        "tote": Silhouette((tote,), under=(strap,), lines=(((0.22, 0.47), (0.78, 0.47)),)),
        "pouch": Silhouette(
            (pouch,),
            under=(band(0.5, 0.56, 0.29, 0.48, 0.04, 180, 360),),
            lines=(arc(0.5, 0.36, 0.31, 0.26, 12, 168), arc(0.5, 0.63, 0.03, 0.03)),
        ),
        "rucksack": Silhouette(
            (rucksack,), under=(loop, *sides), lines=(pocket, ((0.25, 0.46), (0.75, 0.46)))
        ),
    }


def mugs() -> dict[str, Silhouette]:
    handle = band(0.68, 0.54, 0.22, 0.19, 0.065, -100, 100)
    rim, low = arc(0.45, 0.25, 0.25, 0.065), arc(0.45, 0.79, 0.25, 0.065, 0, 180)
    tall = ((0.20, 0.25), *reversed(low), (0.70, 0.25))
    cup = ((0.16, 0.27), *reversed(arc(0.45, 0.30, 0.29, 0.54, 0, 180)), (0.74, 0.27))
    cone = ((0.15, 0.25), (0.28, 0.82), (0.45, 0.85), (0.62, 0.82), (0.75, 0.25))
    return {
        "tall": Silhouette((tall, rim), under=(handle,), inside=(arc(0.45, 0.25, 0.215, 0.042),)),
        "bowl": Silhouette(
            (cup, arc(0.45, 0.27, 0.29, 0.065)),
            under=(band(0.68, 0.48, 0.20, 0.15, 0.06, -100, 100),),
            inside=(arc(0.45, 0.27, 0.25, 0.042),),
        ),
        "tapered": Silhouette(
            (cone, arc(0.45, 0.25, 0.30, 0.065)),
            under=(band(0.66, 0.48, 0.21, 0.17, 0.06, -100, 80),),
            inside=(arc(0.45, 0.25, 0.26, 0.042),),
        ),
    }


def lamps() -> dict[str, Silhouette]:
    cone = mirror([(0.0, 0.10), (0.15, 0.10), (0.34, 0.52), (0.0, 0.53)])
    dome = (*arc(0.5, 0.50, 0.35, 0.38, 180, 360), (0.85, 0.53), (0.15, 0.53))
    drum = mirror([(0.0, 0.13), (0.28, 0.13), (0.28, 0.53), (0.0, 0.54)])
    pole, foot = box(0.475, 0.50, 0.525, 0.88), arc(0.5, 0.89, 0.17, 0.035)
    tripod = (
        ((0.47, 0.50), (0.53, 0.50), (0.30, 0.93), (0.26, 0.93)),
        ((0.47, 0.50), (0.53, 0.50), (0.74, 0.93), (0.70, 0.93)),
    )
    return {
        "cone": Silhouette((cone,), stand=(pole, foot)),
        "dome": Silhouette((dome,), stand=(pole, foot)),
        "drum": Silhouette((drum,), stand=tripod),
    }


def cushions() -> dict[str, Silhouette]:
    square = mirror([(0.0, 0.19), (0.36, 0.13), (0.33, 0.50), (0.36, 0.87), (0.0, 0.81)])
    disc = arc(0.5, 0.5, 0.38, 0.38)
    oblong = mirror([(0.0, 0.31), (0.40, 0.27), (0.42, 0.50), (0.40, 0.73), (0.0, 0.69)])
    button = arc(0.5, 0.5, 0.035, 0.035)
    return {
        "square": Silhouette((square,), lines=(((0.20, 0.20), (0.27, 0.27)), ((0.80, 0.20), (0.73, 0.27)))),
        "disc": Silhouette((disc,), light=(button,), lines=(arc(0.5, 0.5, 0.33, 0.33),)),
        "oblong": Silhouette((oblong,), lines=(((0.19, 0.30), (0.19, 0.70)), ((0.81, 0.30), (0.81, 0.70)))),
    }


SILHOUETTES: dict[str, dict[str, Silhouette]] = {
    "t-shirt": shirts(),
    "trousers": trousers(),
    "dress": dresses(),
    "jacket": jackets(),
    "bag": bags(),
    "mug": mugs(),
    "lamp": lamps(),
    "cushion": cushions(),
}
"""category -> cut -> outlines. The order of categories is also the order in which habits move on."""
