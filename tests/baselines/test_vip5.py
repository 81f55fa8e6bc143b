from dataclasses import replace

import numpy as np
import pytest
import torch

from unimp.baselines.shared.prompts import write_prompts
from unimp.baselines.shared.t5 import Adapter
from unimp.baselines.vip5 import VIP5, VIP5Config
from unimp.core.errors import DataError
from unimp.data.histories import FloatArray, Histories
from unimp.testing.rankers import RankerContract
from unimp.testing.world import ToyFeatures, toy_world


class TestVIP5(RankerContract):
    method = "vip5"
    settings = {  # noqa: RUF012
        "width": 32,
        "layers": 1,
        "epochs": 32,
        "patience": 32,
        "validate_every": 32,
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
def method() -> VIP5:
    method = VIP5(VIP5Config(width=8, layers=2, heads=2, dropout=0.0, max_events=5, beam=50, adapter=4))
    torch.manual_seed(0)
    method.codes, method.content = CODES, torch.randn(6, 3)
    method.module = method.build(num_items=6).eval()  # type: ignore[assignment]
    for values in method.module.parameters():
        values.data.normal_(std=0.4)
    method.popularity = np.ones(6, dtype=np.float32)
    return method


def test_a_pictures_tokens_are_its_mapped_features(method: VIP5) -> None:
    module = method.module
    prompts = write_prompts(torch.tensor([[3, 5]]), torch.tensor([2]), module.ids, 0, visual_tokens=2)
    embedded = module.embed(prompts)
    for item in (3, 5):
        places = (prompts.items_BT[0] == item).nonzero()[:, 0]
        mapped = module.mapping(module.features[item]).view(2, 8)
        word = module.whole_words(prompts.words_BT[0, places])
        torch.testing.assert_close(embedded[0, places], mapped + word + module.kinds.weight[1])
    text = prompts.items_BT[0] < 0
    expected = module.t5.tokens(prompts.tokens_BT[0]) + module.whole_words(prompts.words_BT[0])
    torch.testing.assert_close(embedded[0, text], (expected + module.kinds.weight[0])[text])


def test_pictures_move_the_scores_of_those_who_had_the_item(method: VIP5) -> None:
    histories = Histories.from_lists([[1, 2], [3, 4]])
    before = method.score(histories)
    method.module.features[2] += 1.0
    after = method.score(histories)
    assert not np.allclose(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])


def test_adapters_sit_behind_attention_and_feed_forward_of_every_layer(method: VIP5) -> None:
    adapters = [part for part in method.module.modules() if isinstance(part, Adapter)]
    assert len(adapters) == 2 * 2 * method.config.layers
    assert {adapter.down.out_features for adapter in adapters} == {4}


class NoPictures(ToyFeatures):
    def image(self) -> FloatArray | None:  # type: ignore[override]
        return None


def test_without_pictures_it_says_what_is_missing_and_can_read_text() -> None:
    data = replace(toy_world().training, features=NoPictures())
    with pytest.raises(DataError, match=r'VIP5: needs pictures, and column "picture".*without: pop'):
        VIP5(VIP5Config()).fit(data, seed=0)
    quick = {"content": "text", "width": 8, "layers": 1, "heads": 2, "epochs": 1, "threads": 1}
    VIP5(VIP5Config.parse(quick, "test")).fit(data, seed=0)
