"""Position vectors counted from either end of a history."""

from typing import Any

import pytest
import torch

from unimp.baselines.bert4rec import BERT4Rec, BERT4RecConfig
from unimp.baselines.bsarec import BSARec, BSARecConfig
from unimp.baselines.s3rec import S3Rec, S3RecConfig
from unimp.baselines.sasrec import SASRec, SASRecConfig, SASRecNetwork
from unimp.baselines.shared.positions import PositionVectors
from unimp.baselines.wearec import WEARec, WEARecConfig
from unimp.testing.rankers import RankerContract

SMALL = {"width": 16, "epochs": 25, "patience": 25, "dropout": 0.1, "lr": 0.01, "threads": 1, "max_events": 8}


class TestSASRecFromTheEnd(RankerContract):
    method = "sasrec"
    settings = {**SMALL, "positions_from": "end"}  # noqa: RUF012
    floor = 0.6
    order_matters = True


def table(counted_from: Any) -> PositionVectors:
    positions = PositionVectors(4, 1, counted_from)
    positions.weight.data = torch.arange(4.0)[:, None]
    return positions


def test_from_the_start_a_place_has_the_same_vector_in_every_history() -> None:
    assert table("start").of(3, torch.tensor([3, 1])).flatten().tolist() == [0, 1, 2]


def test_from_the_end_the_last_event_always_has_the_last_vector() -> None:
    vectors = table("end").of(3, torch.tensor([3, 1])).squeeze(2)
    assert vectors[0].tolist() == [1, 2, 3]
    assert vectors[1, 0] == 3
    assert table("end").of(2, None).flatten().tolist() == [2, 3]


@pytest.mark.parametrize("method", [SASRec, BSARec, WEARec, S3Rec])
def test_what_is_trained_as_the_last_event_is_read_as_the_last_when_scoring(method: Any) -> None:
    """A history's padding moves nothing, wherever positions start."""
    config = method.config_class(width=8, heads=2, max_events=6, positions_from="end")
    torch.manual_seed(0)
    module = method(config).build(num_items=12).eval()
    for values in module.parameters():
        values.data.normal_(std=0.3)
    alone = module.states(torch.tensor([[5, 7, 9]]), torch.tensor([3]))
    padded = module.states(torch.tensor([[5, 7, 9, 0, 0]]), torch.tensor([3]))
    torch.testing.assert_close(alone, padded[:, :3])
    mistaken = module.states(torch.tensor([[5, 7, 9, 0, 0]]), torch.tensor([5]))
    assert not torch.allclose(alone, mistaken[:, :3])


def test_bert4rec_masks_the_last_place_at_test_time() -> None:
    module = BERT4Rec(BERT4RecConfig(max_events=6, positions_from="end")).build(num_items=12).eval()
    rows, masked = torch.tensor([[5, 7, 0]]), torch.tensor([[False, False, True]])
    alone = module(rows, masked, torch.tensor([3]))
    padded = module(
        torch.tensor([[5, 7, 0, 0]]), torch.tensor([[False, False, True, False]]), torch.tensor([3])
    )
    torch.testing.assert_close(alone, padded[:, :3], rtol=1e-4, atol=1e-5)


def test_s3rec_is_pretrained_with_the_places_it_is_read_with() -> None:
    module = S3Rec(S3RecConfig(width=8, max_events=6, positions_from="end")).build(num_items=12).eval()
    rows, nothing = torch.tensor([[5, 7, 9]]), torch.zeros(1, 3, dtype=torch.bool)
    alone = module.both_sides(rows, nothing, torch.tensor([3]))
    padded = module.both_sides(
        torch.tensor([[5, 7, 9, 0]]), torch.zeros(1, 4, dtype=torch.bool), torch.tensor([3])
    )
    torch.testing.assert_close(alone, padded[:, :3], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(alone, module.both_sides(rows, nothing, torch.tensor([2])), atol=1e-4)


def test_results_without_the_setting_keep_their_names() -> None:
    for config in (SASRecConfig, BSARecConfig, WEARecConfig, BERT4RecConfig, S3RecConfig):
        assert "positions_from" not in config().model_dump()
        assert config(positions_from="end").model_dump()["positions_from"] == "end"


def test_without_lengths_all_rows_are_real() -> None:
    network = SASRecNetwork(SASRecConfig(width=8, max_events=6, positions_from="end"), 12).eval()
    rows = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(network(rows), network.states(rows, torch.tensor([3])))
