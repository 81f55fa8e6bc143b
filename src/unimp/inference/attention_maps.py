"""Where a position looked: its cross-attention over the visual tokens of the pictures it may see."""

# V visual tokens per picture, M pictures, S = M * V, N positions, H heads, K head width, T positions, D width

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unimp.data.histories import FloatArray
from unimp.inference.forward import as_inputs, batch_pictures
from unimp.model.cross_attention import GatedCrossAttention, View
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.batch import collate
from unimp.sentence.encoder import EncodedSentence


@dataclass(frozen=True)
class AttentionMap:
    """How one position's cross-attention is shared out among the pictures it may see."""

    picture_rows: tuple[int, ...]
    weights_MV: FloatArray
    """[M, V] per picture and visual token, row by row of its grid; all together they sum to 1."""

    def share(self, place: int) -> float:
        """Of one picture in the whole."""
        return float(self.weights_MV[place].sum())

    def within(self, place: int) -> FloatArray:
        """[V] weights within one picture; they sum to 1."""
        weights = self.weights_MV[place]
        return np.asarray(weights / weights.sum(), dtype=np.float32)


@torch.inference_mode()
def attention_maps(model: UnimpModel, state: ItemState, sentence: EncodedSentence) -> dict[int, AttentionMap]:
    """Position -> where it looks, for every position that sees a picture.

    The fused attention keeps no weights, so the softmax is done again (UniMP, eq. 1), averaged over heads
    and over layers, each layer weighed by how far its gate is open.
    """
    batch = collate([sentence]).to(state.table_ID.device)
    inputs = as_inputs(batch)
    pictures = model.look(batch_pictures(state, batch))
    if not pictures or not inputs.views:
        return {}
    layers: list[Tensor] = []

    def reading(layer: int, x_BTD: Tensor) -> Tensor:
        crossing = model.crossing(layer)
        if crossing is None:
            return x_BTD
        layers.append(x_BTD[0])
        seen: Tensor = model.cross_attention[crossing](x_BTD, pictures[crossing], inputs.views)
        return seen

    model.decoder(model.embed(inputs, state), None, reading)
    gates = np.abs(model.gates())
    shares = gates / gates.sum() if gates.sum() else np.full(len(gates), 1.0 / len(gates))
    found: dict[int, AttentionMap] = {}
    for view in inputs.views:
        weights_NMV = sum(
            share * attention(block, x_TD, keys_values, view)
            for share, block, x_TD, keys_values in zip(
                shares.tolist(), crossings(model), layers, pictures, strict=True
            )
        )
        assert isinstance(weights_NMV, Tensor)
        seen_NM = view.pictures_GM[view.group_N]
        for position, local_M, weights_MV in zip(
            view.positions_N.tolist(), seen_NM, weights_NMV, strict=True
        ):
            shown = local_M >= 0
            rows = batch.picture_rows[local_M[shown].to(batch.picture_rows.device)].tolist()
            found[position] = AttentionMap(tuple(rows), weights_MV[shown].float().cpu().numpy())
    return found


def crossings(model: UnimpModel) -> list[GatedCrossAttention]:
    return [block for block in model.cross_attention if isinstance(block, GatedCrossAttention)]


def attention(block: GatedCrossAttention, x_TD: Tensor, keys_values_PV2HK: Tensor, view: View) -> Tensor:
    """[N, M, V] softmax(Q Kᵀ / √K · M) of the positions of a view, averaged over heads."""
    pictures_NM = view.pictures_GM[view.group_N]
    count, most = pictures_NM.shape
    q_NHK = block.query(block.norm(x_TD[view.positions_N])).view(count, block.heads, -1)
    k_NMVHK = keys_values_PV2HK[pictures_NM.clamp(min=0)][:, :, :, 0]
    tokens = k_NMVHK.shape[2]
    logits_NHMV = torch.einsum("nhk,nmvhk->nhmv", q_NHK, k_NMVHK) / q_NHK.shape[-1] ** 0.5
    logits_NHMV = logits_NHMV.masked_fill((pictures_NM < 0)[:, None, :, None], -torch.inf)
    weights_NHS = torch.softmax(logits_NHMV.flatten(2), dim=-1)
    return weights_NHS.mean(dim=1).view(count, most, tokens)
