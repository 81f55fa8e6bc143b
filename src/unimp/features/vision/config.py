"""`[vision]` of a recipe."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from unimp.core.config import Config


class VisionConfig(Config):
    """How pictures are read: by our own convolutional encoder, trained first on the catalogue's words and
    colours and then frozen, or trained together with the model; or by a pretrained encoder."""

    renamed_keys: ClassVar[dict[str, str]] = {"width": "token_width", "picture_width": "image_width"}

    enabled: bool = True
    """Read pictures, where the catalogue has any."""
    kind: Literal["grid", "catalogue"] = "grid"
    """Our own encoder. `grid`: visual tokens of a grid, trained on the catalogue's words and colours, or with
    the model. `catalogue`: trained on views of the catalogue's pictures and frozen; the first visual token
    describes the whole picture by its colours, its texture and what convolutions find."""
    height: int = Field(48, ge=8)
    """Height of a picture in pixels, a multiple of 8. The grid of visual tokens is height / 8 by
    image_width / 8."""
    image_width: int = Field(32, ge=8)
    """Width of a picture in pixels, a multiple of 8."""
    token_width: int = Field(32, ge=0)
    """Width of a visual token; 0, for a pretrained encoder only: the encoder's own width."""
    trainable: bool = False
    """Train the encoder together with the model, on every picture at every step (small catalogues).
    Otherwise it is frozen, and its features are cached."""
    pretrain_epochs: int = Field(10, ge=1)
    """Passes over the catalogue's pictures that train our own encoder before it is frozen."""
    encoder: str = ""
    """A pretrained encoder instead: `package:efficientnet-lite0`, a folder, or a hub id of transformers. It
    reads squares of its own size (not `height` and `image_width`), and its tokens are reduced to
    `token_width`."""
    size: int = Field(0, ge=0)
    """Pixels per side that a pretrained encoder reads; 0: the size of its pretraining."""
    tokens: int = Field(0, ge=0)
    """Visual tokens per picture of a pretrained encoder: its grid, averaged to so many cells; 0: all."""
    lr_share: float = Field(0.1, gt=0, le=1)
    """Learning rate of a pretrained encoder that is trained, as a share of `train.lr`."""
    resampler: int = Field(0, ge=0)
    """Learned queries that attend to a picture's visual tokens and take their place; 0: none."""

    @property
    def own_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the pictures that our own encoder reads."""
        return self.height, self.image_width

    @property
    def own_tokens(self) -> int:
        """Visual tokens that our own encoder makes of a picture: one for each 8 x 8 pixels."""
        return (self.height // 8) * (self.image_width // 8)

    @model_validator(mode="after")
    def _own_width_is_pretrained(self) -> Self:
        if self.token_width < 4 and (self.token_width or not self.encoder):
            raise ValueError("token_width must be at least 4, or 0 for the width of a pretrained encoder")
        if self.kind == "catalogue" and (self.encoder or self.trainable):
            raise ValueError(
                'kind "catalogue" is frozen and our own; leave encoder empty and trainable false'
            )
        if self.kind == "catalogue" and self.token_width % 4:
            raise ValueError('kind "catalogue" asks for a token_width that is a multiple of 4')
        return self
