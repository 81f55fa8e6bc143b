"""The vocabulary: derived from the data, saved with the checkpoint, never hard-coded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from unimp.core.config import Config
from unimp.core.errors import CheckpointError
from unimp.data.catalog import Catalog
from unimp.data.interactions import RatingScale

# Square brackets: no field's marker, `<name>`, can be taken for one of these.
START, MISSING, UNRATED, ANSWER = "[CLS]", "[missing]", "[unrated]", "[answer]"
QUERY, END = "[query]", "[end]"
WORD_STARTS = ("Ġ", "▁")
"""With which tokenizers mark a piece that begins a word."""


class TokenizerConfig(Config):
    """Words of the sentence: byte-level BPE trained on the catalogue's own text; a backbone has its own."""

    size: int = Field(4000, ge=300)
    """Most word pieces learned."""
    min_frequency: int = Field(2, ge=1)
    """A piece must occur this often in the catalogue."""


def train_tokenizer(texts: Iterable[str], config: TokenizerConfig) -> Tokenizer:
    """A lower-case byte-level BPE over `texts`: any string can be encoded, nothing is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.size,
        min_frequency=config.min_frequency,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@dataclass(frozen=True)
class Vocabulary:
    """Token ids: the markers, the rating levels, the words, the picture codes and their places.

    Items have a table of their own.
    """

    tokenizer: Tokenizer
    fields: tuple[str, ...]
    rating_levels: tuple[float, ...]
    item_ids: tuple[str, ...]
    num_codes: int = 0
    """Codes of the image tokenizer; 0 without one."""
    num_places: int = 0
    """Codes per picture; each place has a token that is read, never predicted."""

    @cached_property
    def markers(self) -> dict[str, int]:
        names = [START, MISSING, UNRATED, ANSWER, QUERY, END, *(f"<{field}>" for field in self.fields)]
        return {name: token for token, name in enumerate(names)}

    @property
    def first_rating(self) -> int:
        return len(self.markers)

    @property
    def first_word(self) -> int:
        return self.first_rating + len(self.rating_levels)

    @cached_property
    def num_words(self) -> int:
        return max(self.tokenizer.get_vocab().values()) + 1

    @property
    def first_code(self) -> int:
        return self.first_word + self.num_words

    @property
    def first_place(self) -> int:
        return self.first_code + self.num_codes

    @property
    def num_tokens(self) -> int:
        return self.first_place + self.num_places

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    @cached_property
    def _lead(self) -> str:
        """What is put before a text so that its first piece begins a word, as all others do."""
        first = self.tokenizer.encode("a", add_special_tokens=False).tokens[0]
        return "" if first.startswith(WORD_STARTS) else " "

    def words(self, text: str) -> list[int]:
        pieces = self.tokenizer.encode(self._lead + text, add_special_tokens=False).ids if text else []
        return [self.first_word + piece for piece in pieces]

    def named_frame(self) -> list[list[int]]:
        """Of every marker and rating level, in order, the words (numbered from 0) that it is called by."""
        names = [name.strip("[]<>") for name in self.markers] + [f"{level:g}" for level in self.rating_levels]
        return [[word - self.first_word for word in self.words(name)] for name in names]

    def text(self, tokens: Iterable[int]) -> str:
        """Words back from tokens; markers and ratings are left out."""
        pieces = [token - self.first_word for token in tokens if self.first_word <= token < self.first_code]
        return str(self.tokenizer.decode(pieces)).strip()

    @cached_property
    def _word_beginnings(self) -> frozenset[int]:
        pieces = self.tokenizer.get_vocab()
        return frozenset(
            self.first_word + piece for text, piece in pieces.items() if text.startswith(WORD_STARTS)
        )

    def begins_word(self, token: int) -> bool:
        """Whether a token is the first of a new word."""
        return token in self._word_beginnings

    def field(self, name: str) -> int:
        return self.markers[f"<{name}>"]

    def rating(self, value: float | None) -> int:
        """The nearest level's token; the `unrated` marker for None or NaN."""
        if value is None or value != value or not self.rating_levels:
            return self.markers[UNRATED]
        distances = [abs(level - value) for level in self.rating_levels]
        return self.first_rating + distances.index(min(distances))

    def document(self) -> dict[str, Any]:
        return {
            "fields": self.fields,
            "rating_levels": self.rating_levels,
            "item_ids": self.item_ids,
            "picture_codes": [self.num_codes, self.num_places],
            "tokenizer": json.loads(self.tokenizer.to_str()),
        }

    @cached_property
    def identity(self) -> str:
        """Hash of all of it: which token and which item has which row."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()[:16]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.document()))

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        try:
            document = json.loads(path.read_text())
            return cls(
                Tokenizer.from_str(json.dumps(document["tokenizer"])),
                tuple(document["fields"]),
                tuple(document["rating_levels"]),
                tuple(document["item_ids"]),
                *document["picture_codes"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path}: vocabulary cannot be read ({type(error).__name__}); train again"
            ) from None


def build_vocabulary(
    catalog: Catalog,
    scale: RatingScale | None,
    spoken: Iterable[str],
    config: TokenizerConfig,
    picture_codes: tuple[int, int] = (0, 0),
    tokenizer: Tokenizer | None = None,
) -> Vocabulary:
    """From the catalogue's texts and whatever else is `spoken`: task words, queries, explanations.

    `picture_codes`: how many codes the image tokenizer has, and how many make a picture; `tokenizer`: a
    backbone's, which stays as it is.
    """
    texts = [text for values in catalog.texts.values() for text in values if text is not None]
    return Vocabulary(
        tokenizer or train_tokenizer([*texts, *spoken], config),
        tuple(attribute.name for attribute in catalog.attributes),
        tuple(scale.levels) if scale else (),
        tuple(catalog.item_ids),
        *picture_codes,
    )
