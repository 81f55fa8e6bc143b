"""What every method trained by gradient shares: seeds, threads, the loop, early stopping on validation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from unimp.baselines.baseline import Arrays, Baseline, TrainingData
from unimp.baselines.shared.later_settings import VersionedConfig
from unimp.core.averaging import AveragingAdamW
from unimp.core.devices import pick_device
from unimp.core.progress import progress_bar
from unimp.data.histories import FloatArray, Histories
from unimp.metrics.ranking import rank_cases, ranking_metrics


class NeuralConfig(VersionedConfig):
    epochs: int = Field(default=200, ge=1)
    """At most this many passes over the training events."""
    patience: int = Field(default=10, ge=1)
    """Stop after so many validations without a better NDCG@5; the best epoch is the one that is kept."""
    validate_every: int = Field(default=1, ge=1)
    """Epochs from one validation to the next."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of AdamW, constant."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay, on every parameter."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """Decay at a step of an exponential average of the weights, which is then judged and kept; 0: none."""
    batch_events: int = Field(default=1024, ge=1)
    """Events in a batch, padding included."""
    device: str = "cpu"
    """Where tensors live: `cpu`, `cuda`, `cuda:1`."""
    threads: int = Field(default=0, ge=0)
    """CPU threads of torch while fitting and scoring; 0 leaves what OMP_NUM_THREADS or the machine says."""


NeuralConfigT = TypeVar("NeuralConfigT", bound=NeuralConfig)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Compute with `count` threads (0: no change), then put torch's own number back."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class NeuralBaseline(Baseline[NeuralConfigT]):
    """A module trained step by step. A subclass writes `build`, `losses` and `score_batch`."""

    module: nn.Module
    best_epoch = 0
    """Chosen on validation; without validation cases the last one."""
    users_at_once: ClassVar[int] = 512
    """Most users of one `score_batch`; of more, those with histories of like length go together. Few where
    reading costs much, since a batch is padded to its longest history."""

    @abstractmethod
    def build(self, num_items: int) -> nn.Module:
        """A fresh module; every random draw comes from torch's generator, seeded by then."""

    @abstractmethod
    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        """One epoch: the loss of each step in turn; the optimiser has stepped when the next is asked for."""

    @abstractmethod
    def score_batch(self, histories: Histories) -> Tensor:
        """[U, num_items] for users with at least one event; called in evaluation mode, without gradients."""

    def learn(self, data: TrainingData, *, seed: int, show_progress: bool) -> None:
        pick_device(self.config.device, f"{type(self).__name__} device")
        devices = [self.config.device] if self.config.device.startswith("cuda") else []
        # The generator is torch's global one: dropout draws from it. Its state is given back afterwards.
        with torch_threads(self.config.threads), torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            self.module = self.build(data.num_items).to(self.config.device)
            self.train_epochs(data, np.random.default_rng(seed), show_progress)

    def train_epochs(self, data: TrainingData, random: np.random.Generator, show_progress: bool) -> None:
        config = self.config
        optimizer = AveragingAdamW(
            self.module.parameters(),
            average=config.average,
            lr=config.lr,
            weight_decay=config.weight_decay,
            fused=True,
        )
        best, kept = -1.0, self.copy_state()
        with progress_bar(type(self).__name__, config.epochs, show=show_progress) as bar:
            for epoch in range(1, config.epochs + 1):
                loss = self.train_epoch(optimizer, data, random)
                if epoch % config.validate_every == 0 or epoch == config.epochs:
                    with optimizer.averaged():
                        quality = self.validate(data)
                        if quality > best or not len(data.valid):  # with nothing to choose by, the last one
                            best, self.best_epoch, kept = quality, epoch, self.copy_state()
                bar.advance(
                    1, f"loss {loss:.3f}, valid NDCG@5 {quality_text(best)} (epoch {self.best_epoch})"
                )
                if len(data.valid) and epoch - self.best_epoch >= config.patience * config.validate_every:
                    break
        self.module.load_state_dict(kept)

    def chosen_config(self) -> NeuralConfigT:
        return self.config.model_copy(update={"epochs": max(1, self.best_epoch)})

    def train_epoch(
        self, optimizer: torch.optim.Optimizer, data: TrainingData, random: np.random.Generator
    ) -> float:
        """One pass; the mean loss of its steps."""
        self.module.train()
        total, steps = 0.0, 0
        for loss in self.losses(data, random):
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total, steps = total + loss.item(), steps + 1
        return total / max(steps, 1)

    def validate(self, data: TrainingData) -> float:
        """NDCG@5 on the validation cases, judged as the benchmark judges; -1 when there are none."""
        if not len(data.valid):
            return -1.0
        ranks = rank_cases(self, data.valid, exclude_history=data.exclude_history)
        return ranking_metrics(ranks, (5,))["NDCG@5"]

    def copy_state(self) -> dict[str, Tensor]:
        return {name: values.detach().clone() for name, values in self.module.state_dict().items()}

    def score_known(self, histories: Histories) -> FloatArray:
        self.module.eval()
        scores = np.empty((len(histories), self.num_items), dtype=np.float32)
        order = np.argsort(histories.lengths, kind="stable")
        with torch_threads(self.config.threads), torch.inference_mode():
            for first in range(0, len(order), self.users_at_once):
                chosen = order[first : first + self.users_at_once]
                scores[chosen] = self.score_batch(histories.select(chosen)).float().cpu().numpy()
        return scores

    def arrays(self) -> Arrays:
        return {name: values.cpu().numpy() for name, values in self.copy_state().items()}

    def restore(self, arrays: Arrays) -> None:
        self.module = self.build(self.num_items).to(self.config.device)
        self.module.load_state_dict({name: torch.from_numpy(values) for name, values in arrays.items()})


def quality_text(quality: float) -> str:
    return f"{quality:.4f}" if quality >= 0 else "–"
