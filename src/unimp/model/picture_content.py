"""What a picture is as content of its item: the descriptor that its encoder gives, or its tokens pooled."""

# I pictures, V visual tokens, E visual width, R pictures that are there, C width of content

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from unimp.model.vision import pool_tokens


class DescribedPictures(nn.Module):
    """The first token describes the whole picture."""

    def forward(self, visual_IVE: Tensor, has_picture_I: Tensor, pooled_IP: Tensor | None = None) -> Tensor:
        """[I, C] the descriptors, 0 where there is no picture; `pooled_IP`: where they lie already."""
        rows_R = has_picture_I.nonzero()[:, 0]
        descriptors = visual_IVE[:, 0] if pooled_IP is None else pooled_IP
        return spread(descriptors.index_select(0, rows_R).float(), rows_R, len(has_picture_I))


class PooledPictures(nn.BatchNorm1d):
    """Mean and maximum of a picture's tokens, standardised over all pictures: pooled tokens of different
    pictures are much alike, and only what sets them apart is content."""

    def __init__(self, width: int) -> None:
        super().__init__(width, affine=False)

    def forward(  # type: ignore[override]
        self, visual_IVE: Tensor, has_picture_I: Tensor, pooled_IP: Tensor | None = None
    ) -> Tensor:
        """[I, C] of about unit length, like every other block of content; 0 where there is no picture.
        `pooled_IP`: where they lie already."""
        rows_R = has_picture_I.nonzero()[:, 0]
        pooled = pool_tokens(visual_IVE.index_select(0, rows_R)) if pooled_IP is None else pooled_IP[rows_R]
        if self.training and len(rows_R) < 2:  # of a step that touches few items; one row has no variance
            pooled = F.batch_norm(pooled, self.running_mean, self.running_var, eps=self.eps)
        else:
            pooled = super().forward(pooled)
        return spread(pooled / pooled.shape[-1] ** 0.5, rows_R, len(has_picture_I))


def spread(content_RC: Tensor, rows_R: Tensor, count: int) -> Tensor:
    """[count, C] the content at its rows, zeros elsewhere."""
    return content_RC.new_zeros(count, content_RC.shape[-1]).index_copy(0, rows_R, content_RC)
