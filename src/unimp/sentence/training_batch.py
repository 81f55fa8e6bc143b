"""`TrainingBatch`: a batch, and what each of its positions learns to foretell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from unimp.sentence.batch import Batch, Layout, batch_of
from unimp.sentence.encoder import EncodedSentence
from unimp.sentence.targets import (
    ChoiceTargets,
    Horizon,
    TokenTargets,
    choice_targets,
    item_targets,
    token_targets,
)


@dataclass(frozen=True)
class TrainingBatch(Batch):
    """Every position's target is what the next one holds; answering needs none of them."""

    item_targets: TokenTargets
    token_targets: TokenTargets
    choice_targets: ChoiceTargets


def collate_with_targets(
    sentences: Sequence[EncodedSentence], horizon: Horizon | None = None
) -> TrainingBatch:
    """Lay encoded sentences side by side, with their targets.

    With a `horizon`, a position before an item predicts the items after that one too.
    """
    layout = Layout.of(sentences)
    batch, entries, flat = batch_of(sentences, layout), layout.entries, layout.flat
    return TrainingBatch(
        **{field.name: getattr(batch, field.name) for field in fields(batch)},
        item_targets=item_targets(entries, flat, layout.width, horizon or Horizon()),
        token_targets=token_targets(entries, flat),
        choice_targets=choice_targets(
            entries, flat, [row for sentence in sentences for row in sentence.candidates]
        ),
    )
