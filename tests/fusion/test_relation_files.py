"""Relations come back from disk as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unimp.core.errors import CheckpointError
from unimp.data.histories import Histories
from unimp.fusion.config import FusionConfig
from unimp.fusion.features import Features
from unimp.fusion.fused import FusionMaker
from unimp.fusion.history_view import HistoryView
from unimp.fusion.relation_files import load_relations, save_relations
from unimp.testing.world import toy_world


@pytest.mark.parametrize("dense_items", [100, 10])
@pytest.mark.parametrize("personal", [False, True])
def test_features_of_saved_relations_are_the_same(tmp_path: Path, dense_items: int, personal: bool) -> None:
    config = FusionConfig(kind="learned", personal=personal)
    pictures = np.random.default_rng(0).standard_normal((61, 5)).astype(np.float32)
    maker = FusionMaker(toy_world().training, pictures=lambda: pictures, dense_items=dense_items)
    relations = maker.relations(config)
    assert isinstance(relations.likenesses["alike in pictures"].weights, np.ndarray) == (dense_items == 100)
    save_relations(tmp_path / "relations", relations)
    before, after = (
        Features(found, with_model=False) for found in (relations, load_relations(tmp_path / "relations"))
    )
    past = HistoryView.of(Histories.from_lists([[3, 4, 60]]), 0, 0.8)
    rows = np.arange(20)
    assert before.names == after.names
    assert before.close_names == after.close_names
    assert np.array_equal(before.catalogue(past, None), after.catalogue(past, None))
    logits = np.zeros(20, dtype=np.float32)
    assert np.array_equal(before.close(past, rows, logits, None), after.close(past, rows, logits, None))


def test_a_damaged_file_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "relations"
    save_relations(path, FusionMaker(toy_world().training).relations(FusionConfig()))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match="relations: damaged"):
        load_relations(path)
