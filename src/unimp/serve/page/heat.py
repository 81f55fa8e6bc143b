"""Attention drawn over a picture: the picture as the model saw it, in grey, and colour where it looked."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from unimp.answer import PictureArray
from unimp.data.histories import FloatArray
from unimp.data.pictures import fit_pixels

LONGEST = 192
"""Pixels of the longer side."""
FULL = 4.0
"""So many times the even share of a visual token get the full colour."""
FAINT, HOT = np.array([255.0, 200.0, 0.0]), np.array([214.0, 24.0, 31.0])


def heat(picture: Image.Image, weights: FloatArray, grid: tuple[int, int]) -> PictureArray:
    """[Y, X, 3]; `weights` [rows * columns] sum to 1 and lie over the picture row by row, borders included.

    The colour's scale is the same for all pictures: none at 0, full at FULL times the even share.
    """
    rows, columns = grid
    cell = max(1, LONGEST // max(grid))
    pixels = fit_pixels(picture, rows * cell, columns * cell).astype(np.float64)
    grey = 0.8 * pixels.mean(axis=2, keepdims=True) + 48.0
    strength = np.clip(np.asarray(weights) * rows * columns / FULL, 0.0, 1.0).reshape(rows, columns)
    strength = np.repeat(np.repeat(strength, cell, axis=0), cell, axis=1)[:, :, None]
    colour = FAINT + (HOT - FAINT) * strength
    opacity = 0.8 * strength
    return np.asarray((1.0 - opacity) * grey + opacity * colour).round().clip(0, 255).astype(np.uint8)


def jpeg_base64(picture: PictureArray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()
