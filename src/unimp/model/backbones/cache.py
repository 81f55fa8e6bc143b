"""Our KV cache as transformers sees it."""

# L layers, B sentences, H key heads, S positions, K head width

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from unimp.model.decoder import KVCache


class RoomLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's part of a `KVCache`: new positions are written into its room, nothing is ever copied.

    Layers with a sliding window keep all positions as well: their masks leave out the old ones.
    """

    is_sliding = False

    def __init__(self, room: KVCache, layer: int) -> None:
        super().__init__()
        self.room, self.layer = room, layer
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the room was made before."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        start, stop = self.room.used, self.room.used + key_states.shape[2]
        self.room.keys[self.layer, :, :, start:stop] = key_states
        self.room.values[self.layer, :, :, start:stop] = value_states
        return self.room.keys[self.layer, :, :, :stop], self.room.values[self.layer, :, :, :stop]

    def get_seq_length(self) -> int:
        return self.room.used

    def get_mask_sizes(self, query_length: int | Tensor) -> tuple[int, int]:
        """For so many new positions; transformers before 5.5 gives the positions themselves."""
        length = query_length if isinstance(query_length, int) else len(query_length)
        return self.room.used + length, 0

    def get_max_length(self) -> int:
        return self.room.capacity

    def get_max_cache_shape(self) -> int:
        """`get_max_length` as earlier versions of transformers 5 call it."""
        return self.room.capacity


def as_transformers(room: KVCache) -> Any:
    """A `transformers.Cache` over `room`; `room.used` moves on only after the last layer."""
    return Cache(layers=[RoomLayer(room, layer) for layer in range(len(room.keys))])
