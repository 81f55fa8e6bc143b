"""MMSSL: user–item structure per modality, learnt against a critic, and contrasted with the user's ids."""

# U users, I items, N rows of a batch, F features, D width, H heads, M modalities

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unimp.baselines.baseline import Modality, TrainingData
from unimp.baselines.shared.bipartite import Bipartite
from unimp.baselines.shared.critic import Critic, wasserstein_step
from unimp.baselines.shared.foldin import FoldInBaseline, Learnt, fold_in_scale, sum_over_history
from unimp.baselines.shared.modalities import ModalityNetwork, Views, attend, cross_modal_loss, with_contents
from unimp.baselines.shared.neural import NeuralConfig
from unimp.baselines.shared.pairs import Triples, bpr_loss, squared_norm
from unimp.core.errors import ConfigError
from unimp.core.search_space import Real, SearchSpace
from unimp.data.histories import Histories


class MMSSLConfig(NeuralConfig):
    width: int = Field(default=64, ge=1)
    """Size of all vectors; the authors' is 64."""
    layers: int = Field(default=2, ge=1)
    """Rounds of propagation of the fused id vectors; the authors' is 2."""
    heads: int = Field(default=4, ge=1)
    """Heads of the attention between modalities; must divide the width. The authors' is 4."""
    modalities: tuple[Modality, ...] = Field(default=("text", "image"), min_length=1)
    """What is read beside the ids."""
    neighbours: int = Field(default=10, ge=1)
    """Items that a modality's learnt structure gives to each user; the authors' is 10."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """On projected features; the authors' is .2."""
    id_rate: float = Field(default=0.36, ge=0)
    """Weight of the fused modality view in the id vectors (η); the authors' is .36."""
    content_rate: float = Field(default=0.55, ge=0)
    """Weight of each modality's features in the final vectors (ω); the authors' is .55."""
    contrast: float = Field(default=0.03, ge=0)
    """Weight of the cross-modal contrast (λ1); the authors' is .03."""
    temperature: float = Field(default=0.5, gt=0)
    """τ of the contrast; the authors' is .5."""
    adversary: float = Field(default=1e-4, ge=0)
    """Weight of the generator's loss against the critic (λ2); the authors' is 1e-4."""
    adversary_users: int = Field(default=256, ge=2)
    """Users of a batch whose rows of the catalogue the critic and the contrast see."""
    critic_width: int = Field(default=64, ge=1)
    """Inner width of the critic."""
    l2: float = Field(default=1e-5, ge=0)
    """Weight of half the squared norm of final vectors and of modality features; the authors' is 1e-5."""
    lr: float = Field(default=2e-3, gt=0)
    """Learning rate of AdamW, constant."""
    epochs: int = Field(default=60, ge=1)
    """At most this many passes over the training pairs."""
    batch_events: int = Field(default=8192, ge=1)
    """Pairs in a batch. Every batch propagates over the whole graph, so few large batches are quicker."""
    validate_every: int = Field(default=3, ge=1)
    """Epochs from one validation to the next."""

    search_space: ClassVar[SearchSpace] = {
        "lr": Real(5e-4, 2e-2, log=True),
        "l2": Real(1e-7, 1e-2, log=True),
        "contrast": Real(3e-3, 0.3, log=True),
        "content_rate": Real(0.1, 1.5),
        "dropout": Real(0.0, 0.5),
    }


class MMSSL(FoldInBaseline[MMSSLConfig]):
    """Multi-modal self-supervised learning for recommendation (Wei et al., WWW 2023).

    Adversarial structure learning (sec. 3.1): per modality the generator scores every item by the user's and
    the item's propagated features; a critic tells its rows from rows of the log, softened by Gumbel noise and
    the model's own similarities, as a Wasserstein GAN with gradient penalty. The best items of each user are
    the modality's structure, through which id vectors pass. Cross-modal contrast (sec. 3.2): attention fuses
    the modalities' views, each view is set against the fused one. Fused ids are propagated with means, the
    layers averaged, each modality's features added; BPR.

    Deviations: structures are renewed every epoch, not every step; the critic is narrow, with layer
    normalisation and no final sigmoid, and sees `adversary_users` rows a step (its first layer is as wide as
    the catalogue); keys have a matrix of their own, and the last layer no softmax, where the released code
    takes the queries' and has one. Scoring folds the history in by the same pass: feature means and layers
    over its items, structure from those features, c · |H|^-½ Σ e_i for the id vector (see `fold_in_scale`).
    """

    config_class = MMSSLConfig
    module: ModalityNetwork
    graph: Bipartite
    structures: list[Bipartite]
    contents: list[Tensor]
    critic: Critic

    def prepare(self, data: TrainingData) -> None:
        device, config = self.config.device, self.config
        if config.width % config.heads:
            raise ConfigError(f"mmssl: width {config.width} is not a multiple of heads {config.heads}")
        self.graph = Bipartite.of_pairs(self.pairs, norm="mean", device=device)
        self.structures = [self.graph] * len(config.modalities)
        tables = [data.content(modality, type(self).__name__) for modality in config.modalities]
        self.contents = [F.normalize(torch.from_numpy(table), dim=1).to(device) for table in tables]

    def build(self, num_items: int) -> ModalityNetwork:
        self.critic = Critic(num_items, self.config.critic_width).to(self.config.device)
        return ModalityNetwork(self.pairs.num_users, self.contents, self.config)

    def losses(self, data: TrainingData, random: np.random.Generator) -> Iterator[Tensor]:
        for batch in self.pairs.epoch(self.config.batch_events, random, device=self.config.device):
            views = self.module(self.graph, self.structures)
            chosen = torch.unique(batch.users)
            order = torch.from_numpy(random.permutation(len(chosen))[: self.config.adversary_users])
            yield self.loss(views, batch, chosen[order.to(chosen.device)])
        self.renew_structures()

    def loss(self, views: Views, batch: Triples, users_N: Tensor) -> Tensor:
        """BPR on the batch; critic and contrast on `users_N`."""
        config, negatives = self.config, batch.negatives[:, 0]
        parts = views.users[batch.users], views.items[batch.positives], views.items[negatives]
        total = bpr_loss((parts[0] * parts[1]).sum(1), (parts[0] * parts[2]).sum(1))
        total = total + config.l2 * squared_norm(*parts)
        for users_UD, items_ID in zip(views.user_contents, views.item_contents, strict=True):
            square = users_UD.square().sum() + items_ID.square().sum()
            total = total + config.l2 * square / (2 * self.num_items)
        for view in views.user_ids:
            contrast = cross_modal_loss(view[users_N], views.user_fused[users_N], config.temperature)
            total = total + config.contrast * contrast
        if config.adversary > 0:
            total = total + config.adversary * self.adversarial_loss(views, users_N)
        return total

    def adversarial_loss(self, views: Views, users_N: Tensor) -> Tensor:
        """The critic takes a step; then minus what it makes of the generator's rows."""
        seen_NI = self.seen_rows(users_N)
        sides = zip(views.user_contents, views.item_contents, strict=True)
        fakes = torch.cat([unseen_similarity(users[users_N], items, seen_NI) for users, items in sides])
        own_NI = unseen_similarity(views.users[users_N], views.items, seen_NI).detach()
        wasserstein_step(self.critic, seen_NI, own_NI, fakes.detach())
        return -self.critic(fakes).mean()

    def seen_rows(self, users_N: Tensor) -> Tensor:
        """[N, I] 1 where a training user had the item."""
        users = users_N.cpu().numpy()
        starts = np.searchsorted(self.pairs.keys, users * self.num_items)
        stops = np.searchsorted(self.pairs.keys, (users + 1) * self.num_items)
        counts = stops - starts
        places = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
        rows = torch.zeros(len(users), self.num_items)
        rows[np.repeat(np.arange(len(users)), counts), self.pairs.keys[places] % self.num_items] = 1.0
        return rows.to(users_N.device)

    @torch.no_grad()
    def renew_structures(self) -> None:
        """Each modality's graph: every user's best items by her and their features."""
        self.module.eval()
        views = self.module(self.graph, self.structures)
        self.structures = [
            self.best_items(users, items)
            for users, items in zip(views.user_contents, views.item_contents, strict=True)
        ]
        self.module.train()

    def best_items(self, users_UD: Tensor, items_ID: Tensor, block: int = 1024) -> Bipartite:
        count = min(self.config.neighbours, self.num_items)
        best = [(part @ items_ID.T).topk(count, dim=1).indices for part in users_UD.split(block)]
        owners = np.repeat(np.arange(len(users_UD)), count)
        shape = (len(users_UD), self.num_items)
        items = torch.cat(best).flatten().cpu().numpy()
        return Bipartite.of(owners, items, shape, norm="mean", device=self.config.device)

    def summary(self) -> Learnt:
        module = self.module
        views = module(self.graph, self.structures)
        scale = fold_in_scale(self.pairs, module.users.weight, module.items.weight)
        layers = views.item_layers[:-1]
        learnt = {
            "items": views.items,
            "ids": module.items.weight,
            "readout": scale * module.items.weight,
            "layers": torch.stack(layers).sum(0),
            "query": module.query.weight,
            "key": module.key.weight,
            "merge": module.merge.weight,
        }
        for place, (content, item_content) in enumerate(
            zip(views.contents, views.item_contents, strict=True)
        ):
            learnt |= {f"content{place}": content, f"item_content{place}": item_content}
        return learnt

    def score_batch(self, histories: Histories) -> Tensor:
        learnt, config = self.learnt, self.config
        ones_I1 = torch.ones_like(learnt["ids"][:, :1])
        counts_U1 = sum_over_history(histories, ones_I1)
        contents, views = [], []
        for place in range(len(config.modalities)):
            content_UD = sum_over_history(histories, learnt[f"content{place}"]) / counts_U1
            count = min(config.neighbours, self.num_items)
            best = (content_UD @ learnt[f"item_content{place}"].T).topk(count, dim=1).indices
            contents.append(content_UD)
            views.append(learnt["ids"][best].mean(dim=1))
        weights = learnt["query"], learnt["key"], learnt["merge"]
        fused_UD = attend(torch.stack(views, dim=1), *weights, config.heads).mean(dim=1)
        start_UD = self.fold_in(histories, learnt["readout"]) + config.id_rate * F.normalize(fused_UD, dim=1)
        layers_UD = sum_over_history(histories, learnt["layers"]) / counts_U1
        ids_UD = (start_UD + layers_UD) / (config.layers + 1)
        return with_contents(ids_UD, contents, config.content_rate) @ learnt["items"].T


def unseen_similarity(user_ND: Tensor, items_ID: Tensor, seen_NI: Tensor) -> Tensor:
    """[N, I] rows of length 1: products with all items, the user's own ones at zero."""
    return F.normalize(user_ND @ items_ID.T * (1 - seen_NI), dim=1)
