"""The objective: what counts, how much, and under which name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.six import Six
from unimp.inference.forward import read
from unimp.model.inputs import ItemState
from unimp.model.unimp import UnimpModel
from unimp.runs.training_config import ObjectiveConfig
from unimp.sentence.encoder import Kind
from unimp.sentence.parts import Role
from unimp.sentence.targets import TokenTargets
from unimp.sentence.training_batch import TrainingBatch, collate_with_targets
from unimp.sentence.vocabulary import END
from unimp.tasks import TASKS
from unimp.train.negatives import log_shares
from unimp.train.objective import Loss, Objective

COMPONENTS = {
    "recommendation": {"item", "context attribute"},
    "search": {"item", "context item", "context attribute"},
    "rating": {"rating", "context item", "context attribute"},
    "explanation": {"rating", "word", "context item", "context attribute"},
    "selection": {"choice", "context item", "context attribute"},
    "imagination": {"code", "context item", "context attribute"},
}


@dataclass
class Case:
    """A batch of one task, read by a model."""

    six: Six
    model: UnimpModel
    state: ItemState
    batch: TrainingBatch
    hidden: Tensor

    def loss(self, weight: float = 1.0, **config: Any) -> Loss:
        objective = Objective(
            self.model, self.six.artifacts.vocabulary, ObjectiveConfig(**config), self.six.artifacts.items
        )
        return objective(self.hidden, self.state, self.batch, weight)


def case_of(six: Six, name: str, sentences: int = 12) -> Case:
    task, train, model = six.task(name), six.split.train, six.model()
    windows = task.windows(train, 50, np.random.default_rng(0))[:sentences]
    batch = collate_with_targets(
        [six.artifacts.encoder.encode(task.sentence(train, window)) for window in windows]
    )
    state = model.item_state(six.artifacts.items)
    return Case(six, model, state, batch, read(model, state, batch))


@pytest.mark.parametrize("name", list(TASKS))
def test_components_are_named_by_what_is_predicted(six: Six, name: str) -> None:
    assert case_of(six, name).loss().components.keys() == COMPONENTS[name]


@pytest.mark.parametrize("name", list(TASKS))
def test_context_weights_of_zero_switch_the_context_off(six: Six, name: str) -> None:
    case = case_of(six, name)
    kept = case.loss(item=0.0, attribute=0.0, rating=0.0)
    assert kept.components.keys() == {part for part in COMPONENTS[name] if not part.startswith("context")}
    for switch, part in (("item", "context item"), ("attribute", "context attribute")):
        assert case.loss(**{switch: 0.0}).components.keys() == COMPONENTS[name] - {part}


def test_ratings_of_the_history_are_context_where_something_else_is_asked(six: Six) -> None:
    from unimp.sentence.template import SentenceConfig, Template
    from unimp.tasks.recommendation.task import RecommendationTask
    from unimp.tasks.windows import Window

    context = six.artifacts.context
    template = Template(context.catalog, SentenceConfig(ratings=True, fields=()))
    task = RecommendationTask(type(context)(context.catalog, template, context.train, context.scale))
    case = case_of(six, "recommendation")
    sentence = six.artifacts.encoder.encode(task.sentence(six.split.train, Window(0, 0, 4)))
    case.batch = collate_with_targets([sentence])
    case.hidden = read(case.model, case.state, case.batch)
    assert case.loss().components.keys() == {"item", "context rating"}
    assert case.loss(rating=0.0).components.keys() == {"item"}


def expected_parts(case: Case) -> dict[str, Tensor]:
    """Every component's plain losses [N], in the textbook form: all logits at once."""
    model, vocabulary = case.model, case.six.artifacts.vocabulary
    flat = case.hidden.reshape(-1, case.hidden.shape[-1])
    found: dict[str, Tensor] = {}

    def add(kind: Kind, targets: TokenTargets, logits: Tensor, first: int) -> None:
        for role in (Role.ANSWER, Role.CONTEXT):
            rows = (targets.roles == int(role)) & (targets.kinds == int(kind))
            if rows.any():
                name = kind.name.lower() if role is Role.ANSWER else f"context {kind.name.lower()}"
                losses = F.cross_entropy(
                    logits[targets.positions[rows]], targets.labels[rows, 0] - first, reduction="none"
                )
                found[name] = torch.stack((losses, targets.shares[rows]))

    add(Kind.ITEM, case.batch.item_targets, model.sought(flat) @ case.state.table_ID.T, 0)
    ranges = {
        Kind.ATTRIBUTE: (0, vocabulary.first_code),
        Kind.WORD: (0, vocabulary.first_code),
        Kind.RATING: (vocabulary.first_rating, vocabulary.first_word),
        Kind.CODE: (vocabulary.first_code, vocabulary.first_place),
    }
    for kind, (first, stop) in ranges.items():
        add(kind, case.batch.token_targets, flat[:, : model.width] @ model.tokens.weight[first:stop].T, first)
    choices = case.batch.choice_targets
    if len(choices.labels):
        losses = []
        end = F.pad(model.tokens.weight[vocabulary.markers[END]], (0, model.answer_width - model.width))
        for position, row, label in zip(
            choices.positions.tolist(), choices.candidates.tolist(), choices.labels.tolist(), strict=True
        ):
            vectors = torch.stack([end, *(case.state.table_ID[item] for item in row[1:] if item >= 0)])
            losses.append(
                F.cross_entropy(vectors @ model.sought(flat[position][None])[0], torch.tensor(label))
            )
        found["choice"] = torch.stack((torch.stack(losses), torch.ones(len(losses))))
    return found


def test_wrong_answers_count_in_proportion_to_their_events_and_right_ones_fully(six: Six) -> None:
    case, popularity = case_of(six, "recommendation", sentences=4), six.artifacts.popularity.copy()
    popularity[:3] = 0.0, 1.0, 2.0
    shares = log_shares(popularity, 4)
    assert shares is not None
    assert shares[:3].exp().tolist() == pytest.approx([0.25, 0.25, 0.5])
    assert log_shares(popularity, 1) is None
    items = replace(six.artifacts.items, log_shares=shares)
    vocabulary, config = six.artifacts.vocabulary, ObjectiveConfig(gamma=0.0, attribute=0.0)
    found = Objective(case.model, vocabulary, config, items)(case.hidden, case.state, case.batch)
    targets = case.batch.item_targets
    flat = case.hidden.reshape(-1, case.hidden.shape[-1])[targets.positions]
    logits = case.model.sought(flat) @ case.state.table_ID.T
    own = logits.gather(1, targets.labels)
    counted = (logits + shares).scatter(1, targets.labels, own)
    expected = float((counted.logsumexp(dim=1) - own[:, 0]).mean().detach())
    assert found.components["item"] == pytest.approx(expected, rel=1e-5)
    assert found.components["item"] < float(F.cross_entropy(logits, targets.labels[:, 0]).detach())


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("name", list(TASKS))
def test_equals_the_textbook_form(six: Six, name: str, detach: bool) -> None:
    """Value and gradient of weights x focal means, over the sum of the weights."""
    case = case_of(six, name, sentences=4)
    found = case.loss(gamma=2.0, item=0.5, attribute=0.25, detach=detach, weight=3.0)
    weights = {"context item": 0.5, "context attribute": 0.25}
    total, weight_sum = torch.zeros(()), 0.0
    for part, (losses, shares) in expected_parts(case).items():
        focal = shares * (1 - torch.exp(-losses)) ** 2
        focal = focal.detach() if detach else focal
        weight = weights.get(part, 1.0)
        total = total + weight * (focal * losses).sum() / focal.detach().sum()
        weight_sum += weight
        plain = (losses * shares).sum() / shares.sum()
        assert found.components[part] == pytest.approx(float(plain.detach()), rel=1e-4)
    expected = 3.0 * total / weight_sum
    torch.testing.assert_close(found.total, expected, rtol=1e-4, atol=1e-5)
    wanted = [case.model.tokens.weight, case.model.items.identity.weight, case.model.scale]
    grads = [
        torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True)
        for loss in (found.total, expected)
    ]
    for got, right in zip(*grads, strict=True):
        torch.testing.assert_close(got, right, rtol=2e-3, atol=1e-4)


def test_every_prediction_is_counted_once(six: Six) -> None:
    case = case_of(six, "explanation")
    bags = {
        (position, kind)
        for position, kind in zip(
            case.batch.token_targets.positions.tolist(), case.batch.token_targets.kinds.tolist(), strict=True
        )
    }
    assert case.loss().predicted == len(case.batch.item_targets.labels) + len(bags)


def test_items_never_met_are_no_candidates(six: Six) -> None:
    """With cold negatives off, the loss is that over the trained items alone."""
    from dataclasses import replace

    case = case_of(six, "recommendation")
    trained = torch.from_numpy(np.flatnonzero(six.artifacts.popularity))
    items = replace(six.artifacts.items, candidates=trained)
    config = ObjectiveConfig(attribute=0.0, gamma=0.0)
    found = Objective(case.model, six.artifacts.vocabulary, config, items)(
        case.hidden, case.state, case.batch
    )
    targets = case.batch.item_targets
    flat = case.hidden.flatten(0, 1)[targets.positions]
    logits = torch.full((len(flat), len(six.dataset.catalog)), -torch.inf)
    logits[:, trained] = (case.model.sought(flat) @ case.state.table_ID.T)[:, trained]
    torch.testing.assert_close(
        found.total, F.cross_entropy(logits, targets.labels[:, 0]), rtol=1e-4, atol=1e-5
    )
