from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from unimp.baselines.p5 import P5, P5Config
from unimp.baselines.shared.prompts import START, TEMPLATES, write_prompts
from unimp.core.errors import DataError
from unimp.data.histories import FloatArray, Histories
from unimp.testing.rankers import RankerContract
from unimp.testing.world import ToyFeatures, toy_world


class TestP5(RankerContract):
    method = "p5"
    settings = {  # noqa: RUF012
        "width": 32,
        "layers": 1,
        "epochs": 40,  # twenty-four left one seed of a dozen below the floor
        "patience": 40,
        "validate_every": 10,
        "dropout": 0.0,
        "lr": 5e-3,
        "threads": 1,
        "max_events": 8,
        "batch_events": 128,
        "quantiser": {"levels": 2, "codes": 10, "epochs": 50, "hidden": 32, "width": 8},
    }
    again = {"epochs": 2}  # noqa: RUF012
    floor = 0.4
    order_matters = True


CODES = torch.tensor([[1, 2], [0, 0], [1, 1], [1, 0], [0, 1], [2, 1]])


@pytest.fixture
def method() -> P5:
    method = P5(P5Config(width=8, layers=2, heads=2, dropout=0.0, max_events=5, beam=50))
    torch.manual_seed(0)
    method.codes = CODES
    method.module = method.build(num_items=6).eval()
    for values in method.module.parameters():
        values.data.normal_(std=0.4)
    method.popularity = np.ones(6, dtype=np.float32)
    return method


def log_probability(method: P5, history: list[int], item: int, template: int = 0) -> torch.Tensor:
    """Sum over the item's tokens of log p in the whole vocabulary, the history read alone."""
    module = method.module
    prompts = write_prompts(torch.tensor([history]), torch.tensor([len(history)]), module.ids, template)
    memory, tokens, total = module.read(prompts), [START], torch.zeros(())
    for token in module.ids[item].tolist():
        logits = module.t5.write(torch.tensor([[tokens]]), memory, prompts.real_BT)
        total = total + logits[0, 0, -1].log_softmax(0)[token]
        tokens.append(token)
    return total


def test_every_level_has_tokens_of_its_own(method: P5) -> None:
    assert method.module.sizes == [3, 3]
    ids = method.module.ids
    assert not set(ids[:, 0].tolist()) & set(ids[:, 1].tolist())
    assert ids.min() > START


@pytest.mark.parametrize("template", range(len(TEMPLATES)))
def test_loss_is_that_of_each_prompt_alone(method: P5, template: int) -> None:
    rows, lengths, targets = torch.tensor([[1, 2, 3], [5, 0, 0]]), torch.tensor([3, 1]), torch.tensor([4, 0])
    found = method.loss(write_prompts(rows, lengths, method.module.ids, template), targets)
    alone = [log_probability(method, *case, template) for case in (([1, 2, 3], 4), ([5], 0))]
    torch.testing.assert_close(found, -torch.stack(alone).mean())


def test_a_wide_beam_gives_every_items_log_probability(method: P5) -> None:
    scores = method.score(Histories.from_lists([[1, 2, 3], [4]]))
    for (user, history), item in product(enumerate(([1, 2, 3], [4])), range(6)):
        expected = log_probability(method, history, item)
        assert scores[user, item] == pytest.approx(expected.item(), abs=1e-4)


def test_a_narrow_beam_keeps_the_best_beginning_and_puts_the_others_behind(method: P5) -> None:
    wide = method.score(Histories.from_lists([[1, 2, 3]]))[0]
    method.config = method.config.model_copy(update={"beam": 1})
    narrow = method.score(Histories.from_lists([[1, 2, 3]]))[0]
    reached = narrow > narrow.max() - 50
    first = CODES[:, 0].numpy()
    assert len(set(first[reached])) == 1
    assert reached.sum() == (first == first[reached][0]).sum()
    np.testing.assert_allclose(narrow[reached], wide[reached], atol=1e-4)
    assert np.isfinite(narrow).all()


def test_random_ids_come_with_the_seed_and_need_no_text() -> None:
    quick = {"ids": "random", "width": 8, "layers": 1, "heads": 2, "epochs": 1, "threads": 1}
    data = replace(toy_world().training, features=None)
    codes = []
    for seed in (0, 0, 1):
        method = P5(P5Config.parse(quick, "test"))
        method.fit(data, seed=seed)
        codes.append(method.codes)
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])


class NoText(ToyFeatures):
    def text(self) -> FloatArray | None:  # type: ignore[override]
        return None


def test_content_ids_without_text_say_what_is_missing() -> None:
    data = replace(toy_world().training, features=NoText())
    with pytest.raises(DataError, match=r"P5 with ids=content: needs text.*without: pop"):
        P5(P5Config()).fit(data, seed=0)
