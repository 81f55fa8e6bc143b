"""`BackboneTokens`: a language model's own words, and the rows that are added around them."""

# N tokens, D width, W words, A added rows

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimp.model.backbones.probe import Probe

ITEM_SIZE = 0.02
"""Size of an entry of an item's vector at the start (`ItemTable`)."""


SPREAD = 0.1
"""Of the added rows about the words' mean at the start, as a share of the words' own. Rows as far apart as
words are would be all but certain answers before they had learned anything: 40 steps of SmolLM2 on
MovieLens had a mean loss of 16.4 nats for each code of a picture, with this share 8.0 (Hewitt,
"Initializing new word embeddings for pretrained language models", 2021, has the reason)."""


class BackboneTokens(nn.Module):
    """Tokens in the vocabulary's order: markers and ratings | the model's words | picture codes and places.

    The added rows are parameters of their own, at the input and, where the model has other rows there, at the
    output. Vectors come divided by `scale`, a power of two, so that multiplying everything by it gives
    the model its words bit by bit, and items, which are small, the size of words.
    """

    def __init__(
        self,
        words: nn.Embedding,
        head: nn.Linear | None,
        probe: Probe,
        first_word: int,
        num_words: int,
        num_tokens: int,
    ) -> None:
        """`head`: rows of the words at the output; None when they are those of the input."""
        super().__init__()
        self.words, self.head, self.probe = words, head, probe
        self.first_word, self.first_code = first_word, first_word + num_words
        size = probe.row_size * probe.word_factor
        self.scale = 2.0 ** round(torch.log2(torch.tensor(size / ITEM_SIZE)).item())
        shape = (num_tokens - num_words, probe.width)
        self.added = nn.Parameter(torch.empty(shape))
        self.added_out = nn.Parameter(torch.empty(shape)) if head is not None else None
        for own, theirs in self.pairs():
            mean, std = theirs.float().mean(dim=0), theirs.float().std(dim=0)
            own.data.copy_(mean + SPREAD * std * torch.randn(shape))

    def pairs(self) -> list[tuple[nn.Parameter, Tensor]]:
        """(added rows, the words' rows) of the input, and of the output where it has its own."""
        pairs = [(self.added, self.words.weight.detach())]
        if self.added_out is not None and self.head is not None:
            pairs.append((self.added_out, self.head.weight.detach()))
        return pairs

    @torch.no_grad()
    def begin_with(self, spoken: Sequence[Sequence[int]]) -> None:
        """Start the first added rows at the mean of the words, numbered from 0, that say what they are."""
        for own, theirs in self.pairs():
            for row, words in enumerate(spoken):
                if words:
                    own[row] = theirs[list(words)].float().mean(dim=0)

    def forward(self, tokens_N: Tensor) -> Tensor:
        """[N, D] what the decoder gets of each token, divided by `scale`."""
        is_word = (tokens_N >= self.first_word) & (tokens_N < self.first_code)
        last = self.first_code - self.first_word - 1
        words_ND = self.words((tokens_N - self.first_word).clamp(0, last)).float()
        others = torch.where(tokens_N < self.first_word, tokens_N, tokens_N - last - 1)
        added_ND = F.embedding(others.masked_fill(is_word, 0), self.added) * self.probe.word_factor
        return torch.where(is_word[:, None], words_ND, added_ND) / self.scale

    def rows(self, first: int, stop: int) -> Tensor:
        """[stop - first, D] rows at the output of the tokens from `first` up to `stop`."""
        added = self.added if self.added_out is None else self.added_out
        words = self.words.weight if self.head is None else self.head.weight
        before, after = self.first_word, self.first_code
        parts = (
            added[first : min(stop, before)],
            words[max(first - before, 0) : max(min(stop, after) - before, 0)].float(),
            added[before + max(first - after, 0) : before + max(stop - after, 0)],
        )
        kept = [part for part in parts if len(part)]
        return kept[0] if len(kept) == 1 else torch.cat(kept)

    def as_item(self, token: int) -> Tensor:
        """[D] the row of a token that stands among items, of their size."""
        return self.rows(token, token + 1)[0] / self.scale
