"""Pictures as the bytes of a file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image


def png_bytes(picture: Image.Image | npt.NDArray[np.uint8]) -> bytes:
    """A PNG file of an image, or of an array [Y, X, 3]."""
    import numpy as np
    from PIL import Image  # whoever draws nothing need not wait for it

    image = Image.fromarray(np.ascontiguousarray(picture)) if isinstance(picture, np.ndarray) else picture
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
