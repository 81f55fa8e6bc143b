"""What the loop watches on validation after each epoch: every task's headline, and one score of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unimp.data.histories import Cases
from unimp.inference.forward import batches_by_length, read
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.runs.artifacts import RunArtifacts
from unimp.sentence.encoder import EncodedSentence, Kind
from unimp.sentence.parts import Role
from unimp.sentence.training_batch import collate_with_targets
from unimp.tasks.task import AnyTask
from unimp.train.objective import Objective

OTHER_CASES = 1500
"""Most cases of every task but the first: they are watched, not reported."""
LIKELIHOOD = "likelihood"


@dataclass(frozen=True)
class ValidationScores:
    """Metrics of the model alone; with several tasks their names begin with the task's."""

    metrics: dict[str, float]
    score: float
    """The headline, or the geometric mean of all headlines, each so that higher is better: a relative gain
    counts the same in every task."""


class Validator:
    """Held-out cases, the same after every epoch."""

    def __init__(self, artifacts: RunArtifacts, valid: Cases, *, exclude_history: bool = True) -> None:
        config = artifacts.recipe.train
        self.artifacts, self.exclude_history = artifacts, exclude_history
        self.cases = [
            sample(
                valid, config.valid_users if not place else min(config.valid_users, OTHER_CASES), config.seed
            )
            for place in range(len(artifacts.tasks))
        ]
        self.likelihood_examples_of: dict[str, list[EncodedSentence]] = {}

    @property
    def has_cases(self) -> bool:
        """False where nothing is held out: then the last epoch is kept."""
        return bool(len(self.cases[0]))

    def validation_scores(self, model: UnimpModel) -> ValidationScores:
        if not self.has_cases:
            return ValidationScores({}, -1.0)
        answerer = self.artifacts.answerer(model)
        metrics: dict[str, float] = {}
        headlines: list[float] = []
        for task, cases in zip(self.artifacts.tasks, self.cases, strict=True):
            if task.by_likelihood:
                found = {LIKELIHOOD: self.likelihood(model, answerer.state, task, cases)}
                headline = found[LIKELIHOOD]
            else:
                decoder = answerer.decoders[task.name]
                found = task.score(decoder, cases, exclude_history=self.exclude_history).metrics
                headline = found[task.headline]
                headline = 1.0 / max(headline, 1e-6) if task.lower_is_better else headline
            single = len(self.artifacts.tasks) == 1
            metrics |= found if single else {f"{task.name}/{name}": value for name, value in found.items()}
            headlines.append(headline)
        return ValidationScores(metrics, combined(headlines))

    def likelihood(self, model: UnimpModel, state: ItemState, task: AnyTask, cases: Cases) -> float:
        """exp of the mean log-likelihood of the held-out answers' words or codes."""
        if task.name not in self.likelihood_examples_of:
            self.likelihood_examples_of[task.name] = [
                self.artifacts.encoder.encode(example) for example in task.likelihood_examples(cases)
            ]
        losses = answer_losses(self.artifacts, model, state, self.likelihood_examples_of[task.name])
        return float(np.exp(-losses.mean())) if len(losses) else float("nan")


def answer_losses(
    artifacts: RunArtifacts, model: UnimpModel, state: ItemState, sentences: Sequence[EncodedSentence]
) -> np.ndarray:
    """[N] -log p of every word or code of the sentences' answers, in nats."""
    objective = Objective(model, artifacts.vocabulary, artifacts.recipe.objective, artifacts.items)
    found: list[np.ndarray] = []
    with torch.inference_mode():
        for rows in batches_by_length([len(sentence) for sentence in sentences], 8192):
            batch = collate_with_targets([sentences[row] for row in rows]).to(state.table_ID.device)
            hidden = read(model, state, batch)
            hidden = hidden.reshape(-1, hidden.shape[-1])
            targets = batch.token_targets.where(batch.token_targets.roles == int(Role.ANSWER))
            for kind in (Kind.WORD, Kind.CODE):
                chosen = targets.where(targets.kinds == int(kind))
                if len(chosen.labels):
                    found.append(objective.token_loss(hidden, chosen, kind)[1].cpu().numpy())
    return np.concatenate(found) if found else np.empty(0)


def combined(headlines: Sequence[float]) -> float:
    """Geometric mean; a task that nothing could be said of is left out."""
    known = [max(value, 1e-6) for value in headlines if value == value]
    if len(known) == 1:
        return known[0]
    return float(np.exp(np.mean(np.log(known)))) if known else 0.0


def sample(valid: Cases, users: int, seed: int) -> Cases:
    """At most `users` of the cases, always the same ones."""
    if len(valid) <= users:
        return valid
    return valid.select(np.sort(np.random.default_rng(seed).permutation(len(valid))[:users]))
