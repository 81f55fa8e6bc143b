"""Selection: the answer's hidden state scores the candidates' vectors, one choice after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from unimp.data.histories import FloatArray, Histories, IntArray
from unimp.inference.decoder import Decoder
from unimp.inference.prefix_cache import PrefixCache
from unimp.inference.reading import hidden_at_end
from unimp.inference.score_sources import FusionWeights, ScoreSources
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.sentence.encoder import SentenceEncoder
from unimp.sentence.targets import END_OF_CHOICE
from unimp.sentence.vocabulary import END
from unimp.tasks.rating.decoder import normalised
from unimp.tasks.selection.task import SelectionTask

BATCH = 256


@dataclass
class ModelSelector(Decoder):
    """Chooses among candidates by log p(candidate | sentence) and the sources' shares (`Selector`)."""

    model: UnimpModel
    state: ItemState
    encoder: SentenceEncoder
    task: SelectionTask
    sources: ScoreSources
    fusion_weights: FusionWeights = field(default_factory=FusionWeights)
    cache: PrefixCache | None = None

    def log_probabilities(
        self,
        histories: Histories,
        candidates: Sequence[IntArray],
        chosen: Sequence[Sequence[int]] | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """([U, C] of the candidates, [U] of choosing no more), after `chosen` rows; -inf where none."""
        sentences = [
            self.task.question(histories, user, rows.tolist(), chosen[user] if chosen else ())
            for user, rows in enumerate(candidates)
        ]
        choices = np.full((len(candidates), 1 + max(map(len, candidates))), -1, dtype=np.int64)
        choices[:, 0] = END_OF_CHOICE
        for user, rows in enumerate(candidates):
            left = np.isin(rows, chosen[user], invert=True) if chosen else np.ones(len(rows), dtype=bool)
            choices[user, 1 : 1 + len(rows)] = np.where(left, rows, -1)
        with torch.inference_mode():
            encoded = [self.encoder.encode(sentence) for sentence in sentences]
            users = histories.user_ids.tolist()
            hidden = hidden_at_end(self.model, self.state, encoded, self.cache, users)
            table, end = self.state.table_ID, self.encoder.vocabulary.markers[END]
            rows_NC = torch.from_numpy(choices).to(table.device)
            logits = self.model.choice_logits(hidden, rows_NC, table, end)
            scores = torch.log_softmax(logits, dim=-1).cpu().numpy()
        return np.asarray(scores[:, 1:], dtype=np.float32), np.asarray(scores[:, 0], dtype=np.float32)

    def mixed(self, histories: Histories, candidates: Sequence[IntArray]) -> FloatArray:
        """[U, C] what the sources add to each candidate; -inf for an item that was removed."""
        width = max(map(len, candidates))
        added = np.zeros((len(candidates), width), dtype=np.float32)
        for name, share in self.fusion_weights.shares.items():
            added += gathered(self.sources.score(name, share, histories), candidates, width)
        for row, rows in zip(added, candidates, strict=True):
            row[: len(rows)][np.isin(rows, self.sources.removed)] = -np.inf
        return added

    def probabilities(self, histories: Histories, candidates: Sequence[IntArray]) -> FloatArray:
        """[U, C] of the candidates to be chosen first; each row sums to 1, 0 past a user's last candidate."""
        scores = self.log_probabilities(histories, candidates)[0] + self.mixed(histories, candidates)
        return normalised(scores)

    def select(
        self, histories: Histories, candidates: Sequence[IntArray], counts: Sequence[int]
    ) -> list[IntArray]:
        """Per user the places of the `count` best candidates, best first; count 0 lets the model decide."""
        places: list[IntArray] = []
        for start in range(0, len(candidates), BATCH):
            batch = slice(start, start + BATCH)
            places += self._select(histories.slice(start, start + BATCH), candidates[batch], counts[batch])
        return places

    def _select(
        self, histories: Histories, candidates: Sequence[IntArray], counts: Sequence[int]
    ) -> list[IntArray]:
        added = self.mixed(histories, candidates)
        places: list[list[int]] = [[] for _ in candidates]
        going = [user for user, rows in enumerate(candidates) if len(rows)]
        while going:
            chosen = [[int(candidates[user][place]) for place in places[user]] for user in going]
            scores, ends = self.log_probabilities(
                histories.select(going), [candidates[user] for user in going], chosen
            )
            still = []
            for turn, user in enumerate(going):
                row = scores[turn][: len(candidates[user])]
                total = row + added[user][: len(row)]
                if np.isneginf(total).all():
                    continue
                best = int(np.argmax(total))
                if not counts[user] and places[user] and ends[turn] > row[best]:
                    continue
                places[user].append(best)
                if not counts[user] or len(places[user]) < counts[user]:
                    still.append(user)
            going = still
        return [np.array(found, dtype=np.int64) for found in places]


def gathered(scores: FloatArray, candidates: Sequence[IntArray], width: int) -> FloatArray:
    """[U, width] the scores [U or 1, I] of each user's candidates, 0 past the last."""
    picked = np.zeros((len(candidates), width), dtype=np.float32)
    for user, rows in enumerate(candidates):
        picked[user, : len(rows)] = scores[user if len(scores) > 1 else 0, rows]
    return picked
