"""What mattered: attention weights that are the model's own, and changes that leaving out really makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from tests.six import Six
from unimp.data.catalog import Catalog
from unimp.data.histories import Histories
from unimp.inference.attention_maps import AttentionMap, attention, attention_maps
from unimp.inference.attribution import LeaveOneOutAttribution, without_each
from unimp.inference.forward import as_inputs, batch_pictures, last_hidden
from unimp.inference.retrieval import ModelRanker
from unimp.inference.score_sources import FusionWeights, SourceWeight
from unimp.model.cross_attention import GatedCrossAttention
from unimp.model.inputs import ItemState
from unimp.sentence.batch import collate
from unimp.sentence.encoder import EncodedSentence
from unimp.sentence.parts import Image, Text, UserSentence
from unimp.tasks.explanation.attention import explanation_attention_map
from unimp.tasks.explanation.task import ExplanationTask
from unimp.tasks.recommendation.task import RecommendationTask


@pytest.fixture
def ranker(six: Six) -> ModelRanker:
    assert six.answerer.decoder(RecommendationTask) is not None
    fusion_weights = FusionWeights(
        shares={"log": SourceWeight(weight=0.7), "popularity": SourceWeight(weight=-0.2)}
    )
    return replace(six.answerer.decoder(RecommendationTask), fusion_weights=fusion_weights)


@pytest.fixture
def history(six: Six) -> Histories:
    """Of a user whose items mostly have pictures."""
    return six.split.test.histories.slice(4, 5).last(6)


def sentences(six: Six, history: Histories, item_row: int = 3) -> dict[str, EncodedSentence]:
    """One whose items see their own pictures, one whose answer sees all."""
    asked = {
        "own": six.task("recommendation").question(history, 0),
        "all": six.task("explanation").question(history, 0, item_row, 4.0),
    }
    return {name: six.artifacts.encoder.encode(sentence) for name, sentence in asked.items()}


def test_a_look_is_shared_out_among_what_may_be_seen(six: Six, history: Histories) -> None:
    model, state = six.answerer.model, six.answerer.state
    for sentence in sentences(six, history).values():
        found = attention_maps(model, state, sentence)
        assert len(found) > 3
        for position, look in found.items():
            assert look.weights_MV.min() >= 0
            assert look.weights_MV.sum() == pytest.approx(1.0, abs=1e-5)
            if not sentence.sees[position]:
                assert look.picture_rows == (sentence.pictures[position],)  # its own item's alone
    every = explanation_attention_map(six.answerer.decoder(ExplanationTask), history, 3)  # type: ignore[arg-type]
    assert every is not None
    present = six.artifacts.items.has_picture_I
    assert present is not None
    shown = {row for row in [*history.item_rows.tolist(), 3] if present[row]}
    assert set(every.picture_rows) == shown
    assert sum(every.share(place) for place in range(len(shown))) == pytest.approx(1.0, abs=1e-5)
    assert every.within(1).sum() == pytest.approx(1.0, abs=1e-5)


def test_another_picture_does_not_move_an_own_look(six: Six, history: Histories) -> None:
    model, state = six.answerer.model, six.answerer.state
    sentence = sentences(six, history)["own"]
    before = attention_maps(model, state, sentence)
    first, last = min(before), max(before)
    assert state.visual_IVE is not None
    changed = state.visual_IVE.clone()
    changed[sentence.pictures[last]] += 1.0
    after = attention_maps(model, replace(state, visual_IVE=changed), sentence)
    np.testing.assert_allclose(after[first].weights_MV, before[first].weights_MV, rtol=1e-5, atol=1e-6)
    assert np.abs(after[last].weights_MV - before[last].weights_MV).max() > 1e-4


def test_the_weights_are_those_of_the_layer(six: Six, history: Histories) -> None:
    """With one head, weights times values, projected and gated, is what the layer adds."""
    state = six.answerer.state
    batch = collate([sentences(six, history)["all"]])
    visual = batch_pictures(state, batch)
    assert visual is not None
    torch.manual_seed(0)
    block = GatedCrossAttention(16, visual.shape[-1], 1, 0.0).eval()
    block.gate.data.fill_(0.5)
    with torch.inference_mode():
        x_TD, keys_values = torch.randn(batch.items.shape[1], 16), block.keys_values(visual)
        views = as_inputs(batch).views
        added = block(x_TD[None], keys_values, views)[0] - x_TD
        expected = torch.zeros_like(x_TD)
        for view in views:
            weights_NMV = attention(block, x_TD, keys_values, view)
            values_NMVD = keys_values[view.pictures_GM[view.group_N].clamp(min=0)][:, :, :, 1, 0]
            read = torch.einsum("nmv,nmvd->nd", weights_NMV, values_NMVD)
            expected[view.positions_N] = torch.tanh(block.gate) * block.out(read)
    torch.testing.assert_close(added, expected, atol=1e-5, rtol=1e-4)


def test_layers_count_as_their_gates_are_open(six: Six, history: Histories) -> None:
    state, sentence = six.answerer.state, sentences(six, history)["own"]

    def look(*gates: float) -> AttentionMap:
        model = six.model(gate=0.0)
        for block, gate in zip(model.cross_attention, gates, strict=True):
            block.gate.data.fill_(gate)
        found = attention_maps(model, state, sentence)
        return found[max(found)]

    lower, closed = look(1e-6, 0.0).weights_MV, look(0.0, 0.0).weights_MV
    upper = look(0.0, 1e-6).weights_MV
    np.testing.assert_allclose(closed, (lower + upper) / 2, atol=1e-4)
    assert np.abs(lower - upper).max() > 1e-3


def erasure(six: Six, ranker: ModelRanker) -> LeaveOneOutAttribution:
    return LeaveOneOutAttribution(ranker, six.dataset.catalog, six.artifacts.text)


def test_an_item_counts_as_what_its_absence_changes(
    six: Six, ranker: ModelRanker, history: Histories
) -> None:
    found = erasure(six, ranker).attribution(history, 7, most=3)

    def log_p(rows: list[int]) -> float:
        scores = torch.from_numpy(ranker.score(Histories.from_lists([rows])))
        return float(torch.log_softmax(scores, dim=-1)[0, 7])

    rows = history.item_rows.tolist()
    assert found.log_probability == pytest.approx(log_p(rows), abs=1e-4)
    assert [one.item_row for one in found.items] == rows[-3:]
    for place, one in zip(range(len(rows) - 3, len(rows)), found.items, strict=True):
        fewer = rows[:place] + rows[place + 1 :]
        assert one.change == pytest.approx(log_p(rows) - log_p(fewer), abs=1e-3)


def expected_log_p(six: Six, ranker: ModelRanker, changed: ItemState, sentence: UserSentence) -> Tensor:
    """[I] when the sentence is read with a changed item side, and the catalogue is ranked as it is."""
    with torch.inference_mode():
        hidden = last_hidden(ranker.model, changed, [six.artifacts.encoder.encode(sentence)])
        logits = ranker.model.item_logits(hidden, ranker.state.table_ID)
        return torch.log_softmax(logits, dim=-1)[0]


def state_with(six: Six, content: Mapping[str, Tensor], present: Tensor | None) -> ItemState:
    with torch.inference_mode():
        return six.answerer.model.item_state(
            replace(six.artifacts.items, content=content, has_picture_I=present)
        )


def test_a_picture_counts_as_if_the_catalogue_lacked_it(
    six: Six, ranker: ModelRanker, history: Histories
) -> None:
    plain = replace(ranker, fusion_weights=FusionWeights())
    found = erasure(six, plain).attribution(history, 7)
    present = six.artifacts.items.has_picture_I
    assert present is not None
    question = plain.task.question(history, 0)
    for one in found.items:
        assert (one.picture_change is not None) == (one.look is not None) == bool(present[one.item_row])
        if one.picture_change is None:
            continue
        lacking = present.clone()
        lacking[one.item_row] = False
        parts = tuple(
            replace(part, present=False)
            if isinstance(part, Image) and part.item_row == one.item_row
            else part
            for part in question.parts
        )
        changed = state_with(six, six.artifacts.items.content, lacking)
        expected = expected_log_p(six, plain, changed, replace(question, parts=parts))
        assert one.picture_change == pytest.approx(found.log_probability - float(expected[7]), abs=1e-3)
    assert max(abs(one.picture_change or 0.0) for one in found.items) > 1e-2


def test_an_attribute_counts_as_if_no_item_had_it(six: Six, ranker: ModelRanker, history: Histories) -> None:
    plain, catalog = replace(ranker, fusion_weights=FusionWeights()), six.dataset.catalog
    found = erasure(six, plain).attribution(history, 7)
    kinds = {one.name: one.kind for one in catalog.attributes}
    changes = dict(found.attributes)
    assert set(changes) == {name for name, kind in kinds.items() if kind != "number"}
    question = plain.task.question(history, 0)
    for name, change in changes.items():
        blank = catalog.items.with_columns(pl.lit(None, dtype=catalog.items[name].dtype).alias(name))
        assert six.artifacts.text is not None
        text = torch.from_numpy(six.artifacts.text.project(Catalog(blank, catalog.attributes)))
        content = {**six.artifacts.items.content, "text": text}
        parts = tuple(part for part in question.parts if not (isinstance(part, Text) and part.field == name))
        changed = state_with(six, content, six.artifacts.items.has_picture_I)
        expected = expected_log_p(six, plain, changed, replace(question, parts=parts))
        # two float32 log-probabilities of some -250 each, subtracted
        rounding = 2e-5 * abs(found.log_probability)
        assert change == pytest.approx(found.log_probability - float(expected[7]), abs=max(rounding, 1e-3))
    assert max(map(abs, changes.values())) > 1e-2


def test_without_a_history_there_is_nothing_to_leave_out(six: Six, ranker: ModelRanker) -> None:
    found = erasure(six, ranker).attribution(Histories.from_lists([[]]), 7)
    assert (found.items, found.attributes) == ((), ())
    assert without_each(Histories.from_lists([[4]]), 1).lengths.tolist() == [0]
    fewer = without_each(Histories.from_lists([[4, 5, 6]]), 2)
    assert [fewer.items_of(user).tolist() for user in range(2)] == [[4, 6], [4, 5]]
