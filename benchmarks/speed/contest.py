"""Ours and the official way on one model, taking turns: rounds of training steps, rounds of users."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from flops import Work, linear_weights, ranking_work, training_work
from measure import Bout, MatrixRate, Meter, linear_shapes, matrix_rate, measured, typical
from official import HISTORY, OfficialWay

from unimp.data.histories import Histories
from unimp.inference.forward import batches_by_length, read
from unimp.model.backbones.huggingface import HuggingFaceBackbone
from unimp.model.unimp import UnimpModel
from unimp.runs.artifacts import RunArtifacts
from unimp.sentence.encoder import EncodedSentence
from unimp.sentence.training_batch import TrainingBatch, collate_with_targets
from unimp.tasks.recommendation.task import RecommendationTask
from unimp.tasks.windows import Window
from unimp.train.batches import POOL
from unimp.train.objective import Objective
from unimp.train.optimizer import parameter_groups

SEED, ROUNDS, ASKED_ALONE = 0, 6, 5


class Contest:
    """One model, trained and asked in both ways."""

    def __init__(self, artifacts: RunArtifacts, meter: Meter, limit: float) -> None:
        self.artifacts, self.meter, self.limit = artifacts, meter, limit
        self.task = next(task for task in artifacts.tasks if isinstance(task, RecommendationTask))
        torch.manual_seed(SEED)
        self.model: UnimpModel = artifacts.new_model().to(meter.device)
        self.official = OfficialWay(artifacts, self.model, self.task, meter)
        self.objective = Objective(
            self.model, artifacts.vocabulary, artifacts.recipe.objective, artifacts.items
        )
        groups = parameter_groups(self.model, artifacts.recipe)
        self.optimizer = torch.optim.AdamW(groups, lr=1e-5, betas=(0.9, 0.98))
        self.rng = np.random.default_rng(SEED)

    def rate(self) -> MatrixRate:
        """Of products of the decoder's sizes and of a product with all words."""
        shapes = linear_shapes(list(linear_weights(self.model, adapters=False)))
        shapes[self.model.width, self.artifacts.vocabulary.num_tokens] += 1
        decoder = self.model.decoder
        dtype = torch.bfloat16 if self.meter.device.type == "cuda" else torch.float32
        if isinstance(decoder, HuggingFaceBackbone):
            dtype = decoder.autocast or decoder.floating.dtype
        return matrix_rate(shapes, self.artifacts.recipe.train.batch_positions, dtype, self.meter)

    def training(self, train: Histories) -> dict[str, Any]:
        """Rounds of one step each: ours over some windows, the official way over targets within them."""
        ours, theirs = Bout(), Bout()
        batches, positions, sentences, targets = list[TrainingBatch](), 0, 0, 0
        started = time.perf_counter()
        for number, (windows, events) in enumerate(self.steps(train)):
            warm_up = number == 0
            run = [Bout(), Bout()] if warm_up else [ours, theirs]
            batch = measured(run[0], self.meter, lambda: self.our_step(train, windows))  # noqa: B023
            encoded = measured(run[1], self.meter, lambda: self.official_step(train, events))  # noqa: B023
            if warm_up:
                self.official.seconds.clear()
                continue
            batches.append(batch)
            positions += sum(map(len, encoded))
            sentences += len(encoded)
            targets += len(batch.item_targets.labels)
            if time.perf_counter() - started > self.limit or number == ROUNDS:
                break
        works = [training_work(self.objective, batch, self.artifacts.items) for batch in batches]
        spent, official = ours.total(self.meter), theirs.total(self.meter)
        places = sum(batch.items.numel() for batch in batches)
        read_positions = sum(batch.num_positions for batch in batches)
        return {
            "ours": {
                "steps": len(batches),
                "sentences": sum(len(batch.lengths) for batch in batches),
                "positions": read_positions,
                "item targets": targets,
                "positions/s": read_positions / spent,
                "targets/s": targets / spent,
                "padded": 1 - read_positions / places,
                "flops": added(works),
                **ours.raw(),
            },
            "official": {
                "steps": len(theirs.spent),
                "sentences": sentences,
                "positions": positions,
                "item targets": sentences,
                "positions/s": positions / official,
                "targets/s": sentences / official,
                "seconds/sentence": official / sentences,
                "seconds by part": dict(self.official.seconds),
                **theirs.raw(),
            },
            "ratio per target": official / sentences / (spent / targets),
        }

    def steps(self, train: Histories) -> Iterator[tuple[list[Window], list[tuple[int, int]]]]:
        """(windows of one batch of ours, (user, event) targets of one official batch within them)."""
        budget = self.artifacts.recipe.train.batch_positions
        windows, lengths = self.pool(train, POOL * budget)
        batches = list(batches_by_length(lengths, budget))
        order = self.rng.permutation(len(batches))
        for row in [*order[:1], *order]:  # the first once more: it was the warm-up
            chosen = [windows[place] for place in batches[row]]
            events = [
                (window.user, event)
                for window in chosen
                for event in range(max(window.start, 1), window.stop)
            ]
            shuffled = [events[place] for place in self.rng.permutation(len(events))]
            if shuffled:
                yield chosen, self.fitting(train, shuffled, budget)

    def pool(self, train: Histories, positions: int) -> tuple[list[Window], list[int]]:
        """Windows of users by chance until they hold so many positions, and their lengths."""
        windows, lengths, held = list[Window](), list[int](), 0
        for user in self.rng.permutation(len(train)).tolist():
            one = train.select([user])
            for window in self.task.windows(one, self.artifacts.recipe.sentence.max_items, self.rng):
                windows.append(Window(user, window.start, window.stop))
                lengths.append(len(self.encoded(one, window)))
                held += lengths[-1]
            if held >= positions:
                break
        return windows, lengths

    def fitting(self, train: Histories, events: list[tuple[int, int]], budget: int) -> list[tuple[int, int]]:
        """As many as fit into a batch of `budget` padded positions, in the order given."""
        longest = 0
        for count, (user, event) in enumerate(events):
            longest = max(longest, len(self.official.sentence(train, user, event)))
            if count and longest * (count + 1) > budget:
                return events[:count]
        return events

    def encoded(self, train: Histories, window: Window) -> EncodedSentence:
        return self.artifacts.encoder.encode(self.task.sentence(train, window))

    def our_step(self, train: Histories, windows: list[Window]) -> TrainingBatch:
        batch = collate_with_targets([self.encoded(train, window) for window in windows])
        on_device = batch.to(self.meter.device)
        self.model.train()
        state = self.model.item_state(self.artifacts.items)
        self.descend(self.objective(read(self.model, state, on_device), state, on_device).total)
        return batch

    def official_step(self, train: Histories, events: list[tuple[int, int]]) -> list[EncodedSentence]:
        sentences = [self.official.sentence(train, user, event) for user, event in events]
        self.model.train()
        loss = self.official.loss(sentences, self.model.item_state(self.artifacts.items))
        with self.official.noted("model, backward and step"):
            self.descend(loss)
        return sentences

    def descend(self, loss: torch.Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.artifacts.recipe.train.clip)
        self.optimizer.step()

    def ranking(self, histories: Histories, users: int) -> dict[str, Any]:
        """Rounds of a share of the users by ours and of one user by the official way."""
        self.optimizer.zero_grad(set_to_none=True)
        if isinstance(self.model.decoder, HuggingFaceBackbone):
            from unimp.model.backbones.lora import merge_adapters

            merge_adapters(self.model)  # as a run that is opened for answers has them
        chosen = self.rng.permutation(len(histories))[:users]
        ours, same, theirs, alone, table = Bout(), Bout(), Bout(), Bout(), Bout()
        ranker = measured(
            table, self.meter, lambda: self.artifacts.answerer(self.model).decoder(RecommendationTask)
        )
        state, asked, dropped = ranker.state, 0, 0
        ranker.score(histories.select(chosen[:2]))
        self.official.recommend(histories.select(chosen[:1]), state)
        self.official.seconds.clear()
        works, started = list[Work](), time.perf_counter()
        for rows in np.array_split(chosen, ROUNDS):
            part = histories.select(rows)
            measured(ours, self.meter, lambda: ranker.score(part).argmax(axis=1))  # noqa: B023
            measured(same, self.meter, lambda: ranker.score(part.last(HISTORY)).argmax(axis=1))  # noqa: B023
            said = measured(
                theirs,
                self.meter,
                lambda: self.official.recommend(part.slice(0, 1), state),  # noqa: B023
            )
            works.append(ranking_work(self.model, self.questions(part), self.artifacts.items))
            asked, dropped = asked + len(part), dropped + said.dropped
            if time.perf_counter() - started > self.limit:
                break
        for user in chosen[:ASKED_ALONE]:
            measured(alone, self.meter, lambda: ranker.score(histories.select([user])))  # noqa: B023
        spent = table.total(self.meter) + ours.total(self.meter)
        official = theirs.total(self.meter) / len(theirs.spent)
        return {
            "ours": {
                "users": asked,
                "users/s": asked / spent,
                "item table": table.raw(),
                "latency of one user": typical([self.meter.figure(spent) for spent in alone.spent]),
                "alone": alone.raw(),
                "flops": added(works),
                **ours.raw(),
            },
            "ours, the same five items": {
                "users/s": asked / (table.total(self.meter) + same.total(self.meter)),
                **same.raw(),
            },
            "official": {
                "users": len(theirs.spent),
                "users/s": 1 / official,
                "latency of one user": official,
                "beams that named no item": dropped,
                "seconds by part": dict(self.official.seconds),
                **theirs.raw(),
            },
            "extrapolated": f"the official way from {len(theirs.spent)} users, ours from {asked}, to {users}",
            "ratio": official * asked / spent,
            "ratio, the same five items": official
            * asked
            / (table.total(self.meter) + same.total(self.meter)),
        }

    def questions(self, histories: Histories) -> TrainingBatch:
        """All the users' sentences, for counting."""
        return collate_with_targets(
            [
                self.artifacts.encoder.encode(self.task.question(histories, user))
                for user in range(len(histories))
            ]
        )


def added(works: list[Work]) -> dict[str, float]:
    """Operations by part, and in all."""
    names = asdict(works[0])
    return {name: sum(asdict(work)[name] for work in works) for name in names} | {
        "total": sum(work.total for work in works)
    }
