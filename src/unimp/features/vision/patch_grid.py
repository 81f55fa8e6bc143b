"""Picture encoders of transformers: loading without a word, and the grid out of the last hidden state."""

# P pictures, V visual tokens, E visual width

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from unimp.core.errors import ConfigError
from unimp.core.weights import Weights, need_transformers, quiet
from unimp.features.vision.grid_encoder import IMAGENET_MEAN, IMAGENET_STD, GridEncoder

UNUSED = ("pooler", "head", "classifier", "lm_head", "mask_token")
"""Parts that no visual token passes through: their weights may be missing."""


class PatchEncoder(GridEncoder):
    """A transformer over patches: its last hidden state is `prefix` further tokens, then the grid."""

    def __init__(
        self,
        body: Any,
        size: int,
        *,
        prefix: int,
        mean: Sequence[float],
        std: Sequence[float],
        resizes: bool = True,
    ) -> None:
        patch = int(body.config.patch_size)
        super().__init__(size, (size // patch, size // patch), int(body.config.hidden_size), mean, std)
        self.body, self.prefix = body, prefix
        # Positions are interpolated only where the pictures are not of the size of the pretraining.
        self.options = (
            {"interpolate_pos_encoding": True} if resizes and size != body.config.image_size else {}
        )

    def tokens(self, scaled_P3YX: Tensor) -> Tensor:
        hidden: Tensor = self.body(pixel_values=scaled_P3YX, **self.options).last_hidden_state
        return hidden[:, self.prefix :]


def load_body(weights: Weights, class_name: str, **options: Any) -> Any:
    """A transformers model in float32; ConfigError when weights are missing, damaged or of another shape."""
    transformers = need_transformers(weights.place)
    try:
        with quiet():
            body, report = getattr(transformers, class_name).from_pretrained(
                weights.folder, local_files_only=True, output_loading_info=True, dtype="float32", **options
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"{weights.place}: {weights.folder} cannot be read ({reason}); fetch it again"
        ) from None
    missing = [name for name in sorted(report["missing_keys"]) if not set(name.split(".")) & set(UNUSED)]
    if missing:
        raise ConfigError(
            f"{weights.place}: {weights.folder} lacks {len(missing)} weights of {class_name}, such as "
            f"{missing[0]}; fetch it again"
        )
    return body


def picture_size(weights: Weights, size: int, config: Any) -> int:
    """`size`, or what the folder's preprocessor cuts pictures to, or what the network was made for."""
    if not size:
        described = weights.json("preprocessor_config.json")
        size = next(
            (found for key in ("crop_size", "size") if (found := pixels_per_side(described.get(key)))),
            pixels_per_side(getattr(config, "image_size", None)) or 224,
        )
    patch = getattr(config, "patch_size", None)
    if isinstance(patch, int) and size % patch:
        near = max(patch, round(size / patch) * patch)
        raise ConfigError(f"vision.size {size}: {weights.place} reads multiples of {patch}; try {near}")
    return size


def pixels_per_side(value: Any) -> int:
    """The number in 224, [224, 224], {"height": 224, …} or {"shortest_edge": 224}; 0 for none."""
    if isinstance(value, dict):
        value = value.get("height", value.get("shortest_edge"))
    if isinstance(value, list | tuple):
        value = value[0] if value else 0
    return value if isinstance(value, int) else 0


def colours(
    weights: Weights, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> dict[str, Any]:
    """Mean and deviation of the colours, the folder's own where it names them."""
    described = weights.json("preprocessor_config.json")
    return {"mean": described.get("image_mean") or mean, "std": described.get("image_std") or std}
