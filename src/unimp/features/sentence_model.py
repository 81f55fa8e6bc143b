"""Sentence encoders: a transformer of text, its token vectors pooled as the folder's `1_Pooling` says."""

# N texts, T tokens, E width

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from unimp.core.errors import ConfigError
from unimp.core.weights import Weights, need_transformers, quiet
from unimp.features.vision.patch_grid import load_body

BATCH = 64
KNOWN_PARTS = ("Transformer", "Pooling", "Normalize")
TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
POOLING = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_max_tokens": "max",
}


class SentenceModel:
    """Texts -> [N, E] vectors of unit length."""

    def __init__(self, body: Any, tokenizer: Any, pooling: str, longest: int) -> None:
        self.body, self.tokenizer, self.pooling, self.longest = body, tokenizer, pooling, longest

    @property
    def width(self) -> int:
        return int(self.body.config.hidden_size)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """[N, E]; texts of similar length go together, what is longer than the model reads is cut."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            told = self.tokenizer(
                [texts[place] for place in chosen],
                padding=True,
                truncation=True,
                max_length=self.longest,
                return_tensors="pt",
            ).to(self.body.device)
            hidden_NTE = self.body(**told).last_hidden_state
            pooled = pool(hidden_NTE, told["attention_mask"], self.pooling)
            vectors[chosen] = F.normalize(pooled, dim=-1).cpu().numpy()
        return vectors


def pool(hidden_NTE: Tensor, mask_NT: Tensor, pooling: str) -> Tensor:
    """[N, E] one vector of each text's tokens."""
    mask_NT1 = mask_NT.unsqueeze(-1)
    if pooling == "first":
        return hidden_NTE[:, 0]
    if pooling == "last":
        last = mask_NT.shape[1] - 1 - mask_NT.flip(1).argmax(dim=1)
        return hidden_NTE[torch.arange(len(hidden_NTE)), last]
    if pooling == "max":
        return hidden_NTE.masked_fill(mask_NT1 == 0, -torch.inf).amax(dim=1)
    return (hidden_NTE * mask_NT1).sum(dim=1) / mask_NT1.sum(dim=1).clamp(min=1)


def open_sentences(weights: Weights) -> SentenceModel:
    """Any encoder of transformers; a folder of sentence-transformers says how to pool, others by the mean."""
    transformers = need_transformers(weights.place)
    pooling, longest = described(weights)
    if not any(weights.has(name) for name in TOKENIZERS):
        raise ConfigError(
            f"{weights.place}: {weights.folder} has no tokenizer ({', '.join(TOKENIZERS)}); "
            "name the folder of a sentence encoder"
        )
    body = load_body(weights, "AutoModel")
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(weights.folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(
            f"{weights.place}: the tokenizer of {weights.folder} cannot be read ({reason}); fetch it again"
        ) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    own = getattr(body.config, "max_position_embeddings", 512) or 512
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return SentenceModel(
        body.eval().to(device), tokenizer, pooling, min(longest, own, tokenizer.model_max_length)
    )


def described(weights: Weights) -> tuple[str, int]:
    """(pooling, most tokens) of a sentence-transformers folder; ConfigError for parts we do not have."""
    if not weights.has("modules.json"):
        return "mean", 512
    parts = weights.document("modules.json") or []
    kinds = [str(part.get("type", "")).rsplit(".", 1)[-1] for part in parts]
    strange = [kind for kind in kinds if kind not in KNOWN_PARTS]
    if strange:
        raise ConfigError(
            f"{weights.place}: its part {strange[0]} is not supported; name a sentence encoder of "
            f"{', '.join(KNOWN_PARTS)}"
        )
    told: dict[str, Any] = {}
    for part, kind in zip(parts, kinds, strict=True):
        if kind == "Pooling":
            told = weights.json(f"{part.get('path', '')}/config.json")
    longest = weights.json("sentence_bert_config.json").get("max_seq_length") or 512
    ways = [way for key, way in POOLING.items() if told.get(key)]
    if told.get("pooling_mode") in ("mean", "cls", "lasttoken", "max"):
        ways = [{"cls": "first", "lasttoken": "last"}.get(told["pooling_mode"], told["pooling_mode"])]
    if len(ways) > 1:
        raise ConfigError(
            f"{weights.place}: pools in {len(ways)} ways at once; name another sentence encoder"
        )
    return (ways or ["mean"])[0], int(longest)
