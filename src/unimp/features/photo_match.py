"""Is a shown picture one of the catalogue's: cropped, brighter or darker, compressed again?

Nothing is learned. A shown picture is laid upon every catalogue picture at many places and sizes, and
compared pixel by pixel where both show something, its brightness fitted: coarsely with all items, as matrix
products, then finely with the few nearest. `benchmarks/quality/photos.py` measures it.
"""

# I items, N candidates, H places, Y x X pixels, S side of what is compared, M = S * S cells

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unimp.data.pictures import PixelArray

SIDE = 32
"""Of a thumbnail."""
COARSE = 16
"""Of what is compared with all items."""
SIZES, REACH = (0.74, 0.8, 0.86, 0.93, 1.0), 0.1
"""Sizes of the shown picture within the catalogue's that are tried first, and the distance of places."""
NARROWINGS = ((40, 16), (10, 32), (10, 32))
"""Items that are compared again, and at which side; each time around the best place, half as far."""
BRIGHTNESS = (0.85, 1.18)
"""Least and largest factor of the shown picture's brightness."""
SAME = 0.006
"""Mean squared difference of pixels in [0, 1] up to which the shown picture is the item's own."""
EQUAL = 1e-5
"""Difference of two items' errors up to which they have the same picture."""
ITEMS_AT_ONCE = 8192


def thumbnails_of(pictures_PYX3: PixelArray) -> Tensor:
    """uint8 [P, 3, SIDE, SIDE] of pictures at any size."""
    parts = []
    for start in range(0, len(pictures_PYX3), 1024):
        part = torch.tensor(pictures_PYX3[start : start + 1024])  # a copy: what was decoded may be read-only
        fitted = F.interpolate(part.permute(0, 3, 1, 2).float(), size=(SIDE, SIDE), mode="area")
        parts.append(fitted.round().byte())
    return torch.cat(parts) if parts else torch.zeros(0, 3, SIDE, SIDE, dtype=torch.uint8)


@dataclass(frozen=True)
class PhotoMatch:
    """The catalogue's thumbnails, and pictures that are shown beside them."""

    thumbnails_I3YX: Tensor
    """uint8 [I, 3, SIDE, SIDE], fitted into the same frame as the shown pictures, on white."""
    present_I: Tensor
    """bool."""
    shown: tuple[PixelArray, ...] = ()
    """[Y, X, 3] each."""

    def showing(self, pictures: PixelArray) -> PhotoMatch:
        """With these [X, Y, X', 3] to look for."""
        return replace(self, shown=tuple(pictures))

    @torch.inference_mode()
    def find(self, number: int, rows: np.ndarray | None = None) -> np.ndarray:
        """Rows of the items whose picture is the shown one of that number; empty where there is none.

        `rows`: the items to look at; None: all.
        """
        picture_4YX = with_mask(self.shown[number])
        chosen = self.present_I if rows is None else self.present_I[torch.from_numpy(rows)]
        candidates = chosen.nonzero()[:, 0] if rows is None else torch.from_numpy(rows)[chosen]
        if not len(candidates):
            return np.empty(0, dtype=np.int64)
        places_H3 = first_places()
        errors_N, best_N = self.coarse_errors(picture_4YX, places_H3, candidates)
        candidates, fine_N = self.narrowed(picture_4YX, candidates, errors_N, places_H3[best_N])
        least = float(fine_N.min())
        found = candidates[fine_N <= least + EQUAL] if least <= SAME else candidates[:0]
        return np.asarray(found.numpy(), dtype=np.int64)

    def coarse_errors(self, picture_4YX: Tensor, places_H3: Tensor, rows_N: Tensor) -> tuple[Tensor, Tensor]:
        """[N] the least error of each item, and which of the places has it."""
        values_H3M, mask_HM = (part.flatten(-2) for part in placed(picture_4YX, places_H3, COARSE))
        values_HF, mask_HF = values_H3M.flatten(1), mask_HM[:, None].expand_as(values_H3M).flatten(1)
        squares_H1 = values_HF.square().sum(dim=1, keepdim=True)
        errors, places = [], []
        for rows in rows_N.split(ITEMS_AT_ONCE):
            known_NF = F.avg_pool2d(self.thumbnails_I3YX[rows].float() / 255.0, SIDE // COARSE).flatten(1)
            own_HN, product_HN = mask_HF @ known_NF.square().T, values_HF @ known_NF.T
            factor_HN = (product_HN / squares_H1.clamp(min=1e-6)).clamp(*BRIGHTNESS)
            total_HN = own_HN - 2 * factor_HN * product_HN + factor_HN.square() * squares_H1
            least = (total_HN / mask_HF.sum(dim=1, keepdim=True).clamp(min=1.0)).min(dim=0)
            errors.append(least.values)
            places.append(least.indices)
        return torch.cat(errors), torch.cat(places)

    def narrowed(
        self, picture_4YX: Tensor, rows_N: Tensor, errors_N: Tensor, places_N3: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(rows, errors) of the few nearest items, compared around their places."""
        steps_K3 = torch.cartesian_prod(*(torch.tensor([-1.0, 0.0, 1.0]) for _ in range(3)))
        reach_3 = torch.tensor([0.03, REACH / 2, REACH / 2])
        for most, side in NARROWINGS:
            near = errors_N.argsort()[:most]
            rows_N = rows_N[near]
            tried_NK3 = places_N3[near, None] + steps_K3 * reach_3
            tried_NK3[..., 0].clamp_(min=0.5)
            parts = placed(picture_4YX, tried_NK3.flatten(0, 1), side)
            values_NK3YX, mask_NKYX = (part.unflatten(0, tried_NK3.shape[:2]) for part in parts)
            known_N3YX = F.avg_pool2d(self.thumbnails_I3YX[rows_N].float() / 255.0, SIDE // side)
            errors_NK = masked_errors(values_NK3YX, mask_NKYX[:, :, None], known_N3YX[:, None])
            errors_N, best_N = errors_NK.min(dim=1)
            places_N3 = tried_NK3[torch.arange(len(rows_N)), best_N]
            reach_3 = reach_3 / 2
        return rows_N, errors_N


def masked_errors(values: Tensor, mask: Tensor, known: Tensor) -> Tensor:
    """[N, K] mean squared difference where the mask shows something, brightness fitted."""
    over = (-3, -2, -1)
    own = (mask * known.square()).sum(dim=over)
    product, squares = (values * known).sum(dim=over), values.square().sum(dim=over)
    factor = (product / squares.clamp(min=1e-6)).clamp(*BRIGHTNESS)
    count = mask.sum(dim=over) * values.shape[-3]
    return (own - 2 * factor * product + factor.square() * squares) / count.clamp(min=1.0)


def first_places() -> Tensor:
    """[H, 3] size within the catalogue's frame, and centre across and down, in [-1, 1]."""
    places: list[tuple[float, float, float]] = []
    for size in SIZES:
        count = round((1.0 - size) / REACH)
        offsets = np.linspace(-(1.0 - size), 1.0 - size, 2 * count + 1).tolist() if count else [0.0]
        places += [(size, across, down) for across in offsets for down in offsets]
    return torch.tensor(places)


def with_mask(picture_YX3: PixelArray) -> Tensor:
    """[4, Y, X] colours in [0, 1], zeros in the white borders that fitting added, and 1 where it shows."""
    white = (picture_YX3 == 255).all(axis=2)
    down, across = border(white.all(axis=1)), border(white.all(axis=0))
    height, width = white.shape
    shown = np.zeros((height, width, 1), dtype=np.float32)
    shown[down : height - down, across : width - across] = 1.0
    stacked = np.concatenate([picture_YX3.astype(np.float32) / 255.0 * shown, shown], axis=2)
    return torch.from_numpy(stacked).permute(2, 0, 1)


def border(white: np.ndarray) -> int:
    """Lines that are white at both ends alike; a white picture has none."""
    inside = np.flatnonzero(~white)
    return 0 if not len(inside) else int(min(inside[0], len(white) - 1 - inside[-1]))


def placed(picture_4YX: Tensor, places_H3: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The picture at these places of a frame of `side` cells: [H, 3, S, S] colours, zeros outside, and
    [H, S, S] 1 in cells that it fills."""
    size, across, down = places_H3.unbind(dim=1)
    zero = torch.zeros_like(size)
    moves = torch.stack(
        (
            torch.stack((1 / size, zero, -across / size), dim=1),
            torch.stack((zero, 1 / size, -down / size), dim=1),
        ),
        dim=1,
    )
    finer = 2 * side
    source = F.interpolate(picture_4YX[None], size=(finer, finer), mode="area")
    grid = F.affine_grid(moves, [len(places_H3), 4, finer, finer], align_corners=False)
    found = F.grid_sample(source.expand(len(places_H3), -1, -1, -1), grid, align_corners=False)
    cells_H4SS = F.avg_pool2d(found, 2)
    share = cells_H4SS[:, 3]
    full = (share > 0.98).float()
    return cells_H4SS[:, :3] / share.clamp(min=1e-6)[:, None] * full[:, None], full
