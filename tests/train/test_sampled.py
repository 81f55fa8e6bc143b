"""The sampled softmax, the optimizer of touched rows, and a training with both."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.six import Six
from tests.train.conftest import tiny_recipe
from unimp.core.cross_entropy import linear_cross_entropy
from unimp.data.dataset import Dataset
from unimp.inference.forward import read
from unimp.runs.training_config import ObjectiveConfig
from unimp.sentence.training_batch import collate_with_targets
from unimp.tasks import TASKS
from unimp.train.negatives import NegativeSampler
from unimp.train.objective import Objective
from unimp.train.row_adamw import RowAdamW
from unimp.train.sampled import SAMPLED_FROM, in_rows, known_rows, sampled_inputs, samples_items
from unimp.train.training_run import train

N, H, ITEMS, WIDTH = 5, 2, 7, 4


def predictions() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """hidden [N, D], table [I, D], labels [N, H], parts [N, H], shares [N]."""
    random = torch.Generator().manual_seed(0)
    hidden, table = torch.randn(N, WIDTH, generator=random), torch.randn(ITEMS, WIDTH, generator=random)
    labels = torch.tensor([[0, 1], [1, 2], [2, 2], [3, 0], [6, 5]])
    parts = torch.tensor([[0.6, 0.4], [0.6, 0.4], [1.0, 0.0], [0.5, 0.5], [0.9, 0.1]])
    return hidden, table, labels, parts, torch.ones(N)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_a_sample_of_all_items_once_is_the_full_softmax(gamma: float) -> None:
    hidden, table, *rest = predictions()
    found = []
    for weights in (None, torch.zeros(ITEMS)):
        h, w = hidden.clone().requires_grad_(), table.clone().requires_grad_()
        mean, losses = linear_cross_entropy(h, w, *rest, gamma=gamma, log_weights_I=weights)
        mean.backward()
        found.append((losses, h.grad, w.grad))
    for full, sampled in zip(*found, strict=True):
        assert full is not None
        assert sampled is not None
        torch.testing.assert_close(sampled, full, rtol=1e-6, atol=1e-7)


def test_the_gradient_is_that_of_the_formula() -> None:
    hidden, table, labels, parts, shares = predictions()
    log_weights = torch.tensor([-1.0, 0.5, 2.0, -torch.inf, 0.0, 1.0, -0.3])
    h, w = hidden.clone().requires_grad_(), table.clone().requires_grad_()
    linear_cross_entropy(h, w, labels, parts, shares, log_weights_I=log_weights)[0].backward()
    plain_h, plain_w = hidden.clone().requires_grad_(), table.clone().requires_grad_()
    logits = plain_h @ plain_w.T
    own = torch.zeros(N, ITEMS, dtype=torch.bool).scatter_(1, labels, True)
    total = torch.where(own, logits, logits + log_weights).logsumexp(dim=1)
    (total - (logits.gather(1, labels) * parts).sum(dim=1)).mean().backward()
    torch.testing.assert_close(h.grad, plain_h.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(w.grad, plain_w.grad, rtol=1e-5, atol=1e-6)


def test_right_answers_never_count_as_negatives() -> None:
    hidden, table, labels, parts, shares = predictions()
    often = torch.zeros(ITEMS)
    often[labels[4]] = 9.0  # drawn thousands of times, and the right answers of the last prediction
    plain = linear_cross_entropy(hidden, table, labels, parts, shares, log_weights_I=torch.zeros(ITEMS))[1]
    found = linear_cross_entropy(hidden, table, labels, parts, shares, log_weights_I=often)[1]
    torch.testing.assert_close(found[4], plain[4])
    assert (found[:3] > plain[:3] + 1.0).all()


def test_the_sum_over_candidates_has_the_mean_of_the_sum_over_the_catalogue() -> None:
    """Every outcome of two targets and two draws, with its probability: exact, no luck in it."""
    popularity = np.array([5, 3, 0, 2], dtype=np.float32)
    scores = torch.tensor([0.3, -1.0, 0.7, 1.5]).double().exp()
    in_batch = popularity / popularity.sum()
    sampler = NegativeSampler(popularity, draws=2, power=0.5, seed=0)
    drawn = sampler.drawn_I.numpy()
    assert drawn[2] > 0  # an item that nobody bought is drawn too
    mean = chance = 0.0
    for outcome in itertools.product(range(4), repeat=4):
        probability = float(in_batch[list(outcome[:2])].prod() * drawn[list(outcome[2:])].prod())
        if not probability:
            continue
        sampler.draw = lambda step, rows=outcome[2:]: np.array(rows)  # type: ignore[method-assign]
        rows, log_weights = sampler.candidates(torch.tensor(outcome[:2])[:, None], 0)
        chance += probability
        mean += probability * float((log_weights.double().exp() * scores[rows]).sum())
    assert chance == pytest.approx(1.0, abs=1e-6)
    assert mean == pytest.approx(float(scores.sum()), rel=1e-5)


def test_drawn_items_count_in_proportion_to_their_events() -> None:
    popularity, labels = np.array([40, 1, 2, 8], dtype=np.float32), torch.tensor([[1], [2]])
    plain, shared = (
        NegativeSampler(popularity, draws=50, power=0.5, seed=0, common_events=common) for common in (1, 4)
    )
    (rows, weights), (same, found) = (sampler.candidates(labels, 3) for sampler in (plain, shared))
    assert rows.tolist() == same.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close((found - weights).exp(), torch.tensor([1.0, 0.25, 0.5, 1.0]))


def test_draws_follow_popularity_to_its_power_and_cold_items_stay_out_where_told() -> None:
    popularity = np.array([100, 0, 25, 0, 4, 1], dtype=np.float32)
    sampler = NegativeSampler(popularity, draws=180_000, power=0.5, seed=3, cold=False)
    counts = np.bincount(sampler.draw(0), minlength=6)
    expected = np.sqrt(popularity) / 18
    np.testing.assert_allclose(counts / 180_000, expected, atol=0.01)
    assert not counts[[1, 3]].any()
    np.testing.assert_array_equal(sampler.draw(4), sampler.draw(4))
    assert (sampler.draw(4) != sampler.draw(5)).any()


def test_rows_learn_like_the_dense_optimizer_whenever_they_are_touched() -> None:
    """60 steps, each row touched now and then, one early only, one never."""
    steps, rate = 60, lambda step: 0.01 * (1.0 - step / 80)
    random = torch.Generator().manual_seed(1)
    start = torch.randn(ITEMS, WIDTH, generator=random)
    dense, rowwise = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    plain = torch.optim.AdamW([dense], weight_decay=0.1, betas=(0.9, 0.98))
    other = torch.nn.Parameter(torch.zeros(1))
    rows = RowAdamW(rowwise, torch.optim.AdamW([other]), rate, steps, weight_decay=0.1, betas=(0.9, 0.98))
    for step in range(steps):
        chosen = torch.randperm(5, generator=random)[:2].sort().values
        if step == 3:
            chosen = torch.tensor([2, 5])  # row 5 then waits to the end; row 6 is never touched
        gradient = torch.randn(2, WIDTH, generator=random) * 1e-2
        plain.param_groups[0]["lr"] = rate(step)
        dense.grad = torch.zeros_like(dense).index_copy_(0, chosen, gradient)
        touched = rows.touch(chosen, step)
        torch.testing.assert_close(touched.values_RD.detach(), dense.detach()[chosen], rtol=1e-5, atol=1e-6)
        plain.step()
        touched.values_RD.grad = gradient
        rows.update(touched, step)
    assert (rowwise.detach()[6] == start[6]).all()
    rows.catch_up(steps)
    torch.testing.assert_close(rowwise.detach(), dense.detach(), rtol=1e-5, atol=1e-6)
    for name in ("exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(rows.state[name], plain.state[dense][name], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", list(TASKS))
def test_a_step_of_touched_items_has_the_loss_of_all_items(six: Six, name: str) -> None:
    """With a candidate set of the whole catalogue, every task, whatever else its batch holds."""
    task, train_part, model = six.task(name), six.split.train, six.model().eval()
    items = six.artifacts.items
    windows = task.windows(train_part, 50, np.random.default_rng(0))[:8]
    batch = collate_with_targets(
        [six.artifacts.encoder.encode(task.sentence(train_part, window)) for window in windows]
    )
    objective = Objective(model, six.artifacts.vocabulary, ObjectiveConfig(), items)
    state = model.item_state(items)
    full = objective(read(model, state, batch), state, batch)
    count = len(model.items.identity.weight)
    rows = torch.randperm(count, generator=torch.Generator().manual_seed(2))
    inputs = sampled_inputs(items, trained=model.vision is not None, described=model.described_pictures)
    local_state = model.item_state(inputs.at(rows), model.items.identity.weight[rows])
    local = in_rows(batch, rows, pictures=model.vision is not None)
    sampled = objective(read(model, local_state, local), local_state, local, 1.0, torch.zeros(count))
    torch.testing.assert_close(sampled.total, full.total, rtol=1e-4, atol=1e-5)
    assert sampled.components == pytest.approx(full.components, rel=1e-4)


def test_rows_of_a_batch_are_each_named_once() -> None:
    found = known_rows([torch.tensor([[3, -1], [-2, 5]]), torch.tensor([5, 0])])
    assert found.tolist() == [0, 3, 5]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    from unimp.core.files import read_tensors

    return read_tensors(folder / "model.safetensors")[0]


@pytest.mark.parametrize("trainable", [False, True], ids=["frozen", "trained"])
def test_a_stopped_sampled_training_goes_on_to_the_same_weights(
    tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainable: bool
) -> None:
    recipe = tiny_recipe(
        objective={"softmax": "sampled", "negatives": 6},
        vision={"trainable": trainable},
        train={"epochs": 2, "checkpoint_seconds": 1e-9},
    )
    train(tiny_dataset, recipe, tmp_path / "whole", show=False)
    from unimp.train.trainer import Training

    steps, original = 0, Training._step

    def stop_once(self: Training, step_batch):  # type: ignore[no-untyped-def]
        nonlocal steps
        steps += 1
        if steps == 9:
            raise KeyboardInterrupt
        return original(self, step_batch)

    monkeypatch.setattr(Training, "_step", stop_once)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_dataset, recipe, tmp_path / "stopped", show=False)
    train(tiny_dataset, recipe, tmp_path / "stopped", show=False)
    whole, resumed = weights_of(tmp_path / "whole"), weights_of(tmp_path / "stopped")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_size_decides_and_an_explicit_key_wins(capsys: pytest.CaptureFixture[str]) -> None:

    def chosen(softmax: str, num_items: int) -> bool:
        recipe = tiny_recipe(objective={"softmax": softmax})
        return samples_items(recipe, num_items, torch.device("cpu"), show=True)

    least = SAMPLED_FROM["cpu"]
    assert [chosen("auto", least - 1), chosen("auto", least)] == [False, True]
    assert f"{least:,} items" in capsys.readouterr().err
    assert [chosen("full", least), chosen("sampled", 5)] == [False, True]


def test_a_sampled_run_maps_its_text_in_half_precision_and_opens_to_the_same_scores(
    tiny_dataset: Dataset, tmp_path: Path
) -> None:
    from unimp.runs.open_run import open_run
    from unimp.runs.training_split import make_split

    recipe = tiny_recipe(objective={"softmax": "sampled", "negatives": 6}, train={"epochs": 1})
    result = train(tiny_dataset, recipe, tmp_path / "run", show=False)
    assert (tmp_path / "run" / "content-text.npy").exists()
    run = open_run(tmp_path / "run")
    assert run.artifacts.items.content["text"].dtype == torch.float16
    task = run.artifacts.tasks[0]
    valid = make_split(tiny_dataset, recipe.train.split, recipe.train.seed).valid
    found = task.score(run.answerer.decoders[task.name], valid, exclude_history=run.exclude_history)
    reached = list(result["valid"]["reached"]["recommendation"].values())[-1]
    assert found.metrics["NDCG@5"] == pytest.approx(reached, abs=1e-6)


def test_a_state_of_the_other_softmax_is_refused_in_one_line(
    tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a run was begun on a CPU and is to go on on a GPU, whose `auto` chooses otherwise."""
    from unimp.core.errors import CheckpointError
    from unimp.train import sampled
    from unimp.train.trainer import Training

    recipe = tiny_recipe(train={"epochs": 2, "checkpoint_seconds": 1e-9})
    original = Training._step

    def stop(self: Training, step_batch):  # type: ignore[no-untyped-def]
        if self.position.step == 3:
            raise KeyboardInterrupt
        return original(self, step_batch)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_step", stop)
        patched.setitem(sampled.SAMPLED_FROM, "cpu", 5)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_dataset, recipe, tmp_path / "run", show=False)
    with pytest.raises(CheckpointError, match="begun with the sampled softmax"):
        train(tiny_dataset, recipe, tmp_path / "run", show=False)


def test_another_number_of_processes_counts_steps_anew_and_no_row_loses_what_it_missed(
    tiny_dataset: Dataset, tmp_path: Path
) -> None:
    """Rows that wait make up for their missed steps by the learning rates of then, not by the new ones."""
    from tests.train.distributed.worker import bench_of
    from unimp.train.process_group import ProcessGroup
    from unimp.train.trainer import Training

    class Pair(ProcessGroup):
        size = 2

    recipe = tiny_recipe(objective={"softmax": "sampled", "negatives": 2}, train={"batch_positions": 16})
    artifacts, split = bench_of(tiny_dataset, recipe)
    place = (tmp_path / "run", artifacts, split, torch.device("cpu"))
    first = Training(*place, show=False)
    for planned in first.sentences.plan(0)[:6]:
        first._step(first._step_batch((planned, 1.0)))
        first.position.step += 1
    first._save()
    alone, pair = Training(*place, show=False), Training(*place, show=False, process_group=Pair())
    assert alone.step.sampled is not None
    assert pair.step.sampled is not None
    reached = pair.step.sampled.rows.state["step"]
    assert len(torch.unique(alone.step.sampled.rows.state["step"])) > 1
    alone.step.sampled.rows.catch_up(6)
    assert pair.total_steps < alone.total_steps
    assert reached.tolist() == [pair.position.step] * len(reached)
    assert pair.position.step < 6
    tables = [training.model.items.identity.weight.detach() for training in (alone, pair)]
    torch.testing.assert_close(tables[1], tables[0], rtol=0, atol=0)
    assert not torch.equal(tables[0], first.model.items.identity.weight)
