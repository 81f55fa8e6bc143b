import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unimp.baselines.shared.sequences import batches_by_length, training_windows, whole_windows
from unimp.data.histories import Histories


def test_long_histories_are_cut_from_the_end_and_share_one_event() -> None:
    windows = training_windows(Histories.from_lists([[1, 2, 3, 4, 5], [6], [], [7, 8]]), max_targets=2)
    cut = [
        windows.item_rows[s : s + n].tolist() for s, n in zip(windows.starts, windows.lengths, strict=True)
    ]
    assert cut == [[3, 4, 5], [1, 2, 3], [7, 8]]


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 9))
def test_every_event_but_the_first_is_a_target_once(lengths: list[int], max_targets: int) -> None:
    histories = Histories.from_lists([list(range(n)) for n in lengths])
    windows = training_windows(histories, max_targets)
    targets = [e for s, n in zip(windows.starts, windows.lengths, strict=True) for e in range(s + 1, s + n)]
    expected = [
        e for u, n in enumerate(lengths) for e in range(histories.offsets[u] + 1, histories.offsets[u] + n)
    ]
    assert sorted(targets) == expected
    assert all(windows.lengths <= max_targets + 1)


def test_padding_is_on_the_right() -> None:
    windows = whole_windows(Histories.from_lists([[1, 2, 3, 4], [5]]), max_events=3)
    assert windows.padded(np.array([1, 0])).tolist() == [[5, 0, 0], [2, 3, 4]]


@given(st.lists(st.integers(1, 40), max_size=40), st.integers(1, 60))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    sizes = np.array(lengths, dtype=np.int64)
    batches = list(batches_by_length(sizes, budget, np.random.default_rng(0)))
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * sizes[batch].max() <= budget
