"""What mattered for an answer: what becomes of it when something is left out of the history."""

# I items, D width, N sentences

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unimp.data.catalog import Catalog
from unimp.data.histories import Histories
from unimp.features.sentence_embeddings import TextEncoder
from unimp.inference.attention_maps import AttentionMap, attention_maps
from unimp.inference.forward import last_hidden
from unimp.inference.retrieval import ModelRanker
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.parts import Image, ItemMention, Part, Text, UserSentence

AT_ONCE = 16
"""Sentences scored by one call: bounds the memory at AT_ONCE x items."""


@dataclass(frozen=True)
class ItemAttribution:
    """One event of the history. A change is log p(item) with it less log p(item) without it, in nats."""

    item_row: int
    change: float
    picture_change: float | None
    """Of its picture alone; None where there is none to see."""
    look: AttentionMap | None
    """Of the item's own position on its own picture."""


@dataclass(frozen=True)
class Attribution:
    """What the likelihood of one item as the next rests on."""

    log_probability: float
    """Natural, of the item among the whole catalogue."""
    items: tuple[ItemAttribution, ...]
    """Of the latest events, oldest first."""
    attributes: tuple[tuple[str, float], ...]
    """(name, change when no item of the history has it); only those that the model reads."""


class AlteredItems:
    """Item vectors that lack something, in rows past the catalogue's: to be read, never to be ranked."""

    def __init__(
        self, model: UnimpModel, state: ItemState, catalog: Catalog, text: TextEncoder | None
    ) -> None:
        self.model, self.whole, self.catalog, self.text = model, state, catalog, text
        self.vectors: list[Tensor] = []

    def state(self) -> ItemState:
        return replace(self.whole, table_ID=torch.cat((self.whole.table_ID, *self.vectors)))

    def add(self, vectors_ND: Tensor) -> list[int]:
        """Their rows."""
        first = len(self.whole.table_ID) + sum(map(len, self.vectors))
        self.vectors.append(vectors_ND)
        return list(range(first, first + len(vectors_ND)))

    def without_picture(self, item_row: int) -> int:
        vector_D = self.whole.table_ID[item_row].clone()
        if self.whole.pictures_ID is not None:
            width = self.model.width
            vector_D[:width] -= self.whole.pictures_ID[item_row, :width]
            alike = 0 if self.model.likeness is None else self.model.likeness.widths["picture"]
            vector_D[width : width + alike] = 0.0
        return self.add(vector_D[None])[0]

    def without_attribute(self, item_rows: Sequence[int], name: str) -> dict[int, int]:
        """Row -> row of the vector whose text lacks the attribute."""
        rows = list(dict.fromkeys(item_rows))
        vectors_ND = self.whole.table_ID[rows]
        if self.text is not None and "text" in self.model.items.projections:
            kept = tuple(attribute for attribute in self.catalog.attributes if attribute.name != name)
            texts = [self.text.project(self.catalog, rows, some) for some in (kept, self.catalog.attributes)]
            less, full = (torch.from_numpy(text).to(vectors_ND) for text in texts)
            changed_ND = self.model.items.projections["text"](less - full)
            vectors_ND = vectors_ND + F.pad(changed_ND, (0, vectors_ND.shape[1] - changed_ND.shape[1]))
            if self.model.likeness is not None:
                vectors_ND[:, -self.model.likeness.widths["text"] :] = self.model.likeness.project(
                    "text", less
                )
        return dict(zip(rows, self.add(vectors_ND), strict=True))


@dataclass(frozen=True)
class LeaveOneOutAttribution:
    """Leaves things out of a history and asks again (Li et al. 2016, "representation erasure").

    An item's picture or attribute is left out of the sentence and of the item's own vector. What is mixed
    into the ranking (the log's structure, likeness of content) goes by whole items and changes with those.
    """

    ranker: ModelRanker
    catalog: Catalog
    text: TextEncoder | None
    """What made the items' text content."""

    @torch.inference_mode()
    def attribution(self, histories: Histories, item_row: int, most: int = 24) -> Attribution:
        """Of a single user's latest `most` events, no more than a sentence holds, on one item."""
        ranker = self.ranker
        histories = histories.last(ranker.task.template.config.max_items)
        question = ranker.task.question(histories, 0)
        mentions = [part for part in question.parts if isinstance(part, ItemMention)][-most:]
        whole = float(self.likelihoods(histories, item_row)[0])
        fewer = without_each(histories, len(mentions))
        changes = [whole - likelihood for likelihood in self.likelihoods(fewer, item_row)]
        pictures, attributes = self.parts(histories, question, mentions, item_row)
        encoded = ranker.encoder.encode(question)
        places = np.flatnonzero(encoded.items >= 0)[-len(mentions) :].tolist() if mentions else []
        seen = attention_maps(ranker.model, ranker.state, encoded)
        items = [
            ItemAttribution(
                mention.item_row,
                change,
                None if mention.block not in pictures else whole - pictures[mention.block],
                seen.get(place),
            )
            for mention, change, place in zip(mentions, changes, places, strict=True)
        ]
        return Attribution(
            whole, tuple(items), tuple((name, whole - likelihood) for name, likelihood in attributes.items())
        )

    def parts(
        self,
        histories: Histories,
        question: UserSentence,
        mentions: Sequence[ItemMention],
        item_row: int,
    ) -> tuple[dict[int, float], dict[str, float]]:
        """log p(item) without the picture of each block, and without each attribute."""
        ranker = self.ranker
        altered = AlteredItems(ranker.model, ranker.state, self.catalog, self.text)
        shown = {part.block for part in question.parts if isinstance(part, Image) and part.present}
        blocks = [
            mention for mention in mentions if mention.block in shown and ranker.state.visual_IVE is not None
        ]
        sentences = [
            without_picture(question, mention.block, altered.without_picture(mention.item_row))
            for mention in blocks
        ]
        names = self.read_attributes() if mentions else []
        rows = [part.item_row for part in question.parts if isinstance(part, ItemMention)]
        sentences += [without_field(question, name, altered.without_attribute(rows, name)) for name in names]
        found = self.altered_likelihoods(sentences, altered, histories, item_row)
        pictures = dict(zip([mention.block for mention in blocks], found[: len(blocks)], strict=True))
        return pictures, dict(zip(names, found[len(blocks) :], strict=True))

    def read_attributes(self) -> list[str]:
        """Attributes that the model reads, as parts of the sentence or in the items' vectors."""
        template = self.ranker.task.template
        in_vectors = self.text is not None and "text" in self.ranker.model.items.projections
        return [
            attribute.name
            for attribute in self.catalog.attributes
            if attribute.name in template.fields or (in_vectors and attribute.kind != "number")
        ]

    def likelihoods(self, histories: Histories, item_row: int) -> list[float]:
        """[U] log p(item) as the ranking has it, mixture included, before any second stage."""
        found: list[float] = []
        for start in range(0, len(histories), AT_ONCE):
            scores = torch.from_numpy(self.ranker.mixed_score(histories.slice(start, start + AT_ONCE)))
            found += torch.log_softmax(scores, dim=-1)[:, item_row].tolist()
        return found

    def altered_likelihoods(
        self, sentences: Sequence[UserSentence], altered: AlteredItems, histories: Histories, item_row: int
    ) -> list[float]:
        """[N] the same for sentences about altered items; what is mixed in is that of the whole history."""
        ranker, state = self.ranker, altered.state()
        mixed = torch.zeros(len(ranker.sources.popularity))
        for name, share in ranker.fusion_weights.shares.items():
            mixed = mixed + torch.from_numpy(ranker.sources.score(name, share, histories)[0])
        found: list[float] = []
        for start in range(0, len(sentences), AT_ONCE):
            encoded = [ranker.encoder.encode(sentence) for sentence in sentences[start : start + AT_ONCE]]
            hidden = last_hidden(ranker.model, state, encoded)
            scores = torch.log_softmax(ranker.model.item_logits(hidden, ranker.state.table_ID), dim=-1).cpu()
            found += torch.log_softmax(scores + mixed, dim=-1)[:, item_row].tolist()
        return found


def without_each(histories: Histories, count: int) -> Histories:
    """One user's history `count` times, each without another of the latest `count` events, oldest first."""
    length = histories.num_events
    kept = [np.delete(np.arange(length), place) for place in range(length - count, length)]
    events = np.concatenate([np.zeros(0, dtype=np.int64), *kept])
    return Histories(
        np.repeat(histories.user_ids, count),
        np.arange(count + 1, dtype=np.int64) * max(length - 1, 0),
        histories.item_rows[events],
        histories.ratings[events],
        histories.times[events],
        histories.event_rows[events],
    )


def without_picture(sentence: UserSentence, block: int, row: int) -> UserSentence:
    """The item of a block holds the vector of `row`, and its picture is not shown."""

    def changed(part: Part) -> Part:
        if part.block == block and isinstance(part, ItemMention):
            return replace(part, item_row=row)
        return replace(part, present=False) if part.block == block and isinstance(part, Image) else part

    return replace(sentence, parts=tuple(changed(part) for part in sentence.parts))


def without_field(sentence: UserSentence, name: str, row_of: Mapping[int, int]) -> UserSentence:
    """The items hold the vectors of other rows, and the attribute is not told."""
    kept = (part for part in sentence.parts if not (isinstance(part, Text) and part.field == name))
    return replace(
        sentence,
        parts=tuple(
            replace(part, item_row=row_of[part.item_row]) if isinstance(part, ItemMention) else part
            for part in kept
        ),
    )
