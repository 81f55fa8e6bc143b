import numpy as np
import pytest

from unimp.core.errors import ConfigError
from unimp.data.histories import Histories
from unimp.features import item_graph
from unimp.features.item_graph import (
    GraphConfig,
    ItemGraph,
    content_graph,
    cosine_graph,
    ease_graph,
    fit_graphs,
    keep_largest,
    mirror_upper,
    slim_graph,
    user_item_matrix,
)


def dense(matrix) -> np.ndarray:
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def test_a_repeated_item_counts_once_at_its_latest_event() -> None:
    matrix = user_item_matrix(Histories.from_lists([[0, 1, 0], [], [2, 2]]), 3, recency=0.5)
    np.testing.assert_allclose(matrix.toarray(), [[1.0, 0.5, 0.0], [0, 0, 0], [0, 0, 1.0]], rtol=1e-5)
    plain = user_item_matrix(Histories.from_lists([[0, 1, 0], [], [2, 2]]), 3)
    np.testing.assert_allclose(plain.toarray(), [[1, 1, 0], [0, 0, 0], [0, 0, 1]], rtol=1e-5)


def test_recency_is_counted_back_from_the_latest_event() -> None:
    matrix = user_item_matrix(Histories.from_lists([[3, 1, 0, 2]]), 4, recency=0.6)
    np.testing.assert_allclose(matrix.toarray(), [[0.6, 0.36, 1.0, 0.216]], rtol=1e-5)


LOG = Histories.from_lists([[0, 1], [0, 1], [0, 2], [1, 1]])
"""Item 0 with three users, 1 with three, 2 with one; 0 and 1 share two, 0 and 2 one."""


def test_cosine_by_hand() -> None:
    expected = [[0, 2 / 3, 1 / 3**0.5], [2 / 3, 0, 0], [1 / 3**0.5, 0, 0]]
    np.testing.assert_allclose(dense(cosine_graph(LOG, 3).weights), expected, rtol=1e-5)
    np.testing.assert_allclose(dense(cosine_graph(LOG, 3, neighbours=None).weights), expected, rtol=1e-5)


def test_shrink_is_added_below_the_line() -> None:
    weights = dense(cosine_graph(LOG, 3, shrink=1.0).weights)
    assert weights[0, 1] == pytest.approx(2 / (3 + 1))
    assert weights[0, 2] == pytest.approx(1 / (3**0.5 + 1))


def test_only_the_best_neighbours_stay() -> None:
    weights = dense(cosine_graph(LOG, 3, neighbours=1).weights)
    np.testing.assert_allclose(weights, [[0, 2 / 3, 0], [2 / 3, 0, 0], [1 / 3**0.5, 0, 0]], rtol=1e-5)


def test_an_item_nobody_had_has_no_neighbours() -> None:
    assert not dense(cosine_graph(LOG, 5).weights)[3:].any()


@pytest.mark.parametrize("as_array", [True, False])
def test_keep_largest_is_by_magnitude(as_array: bool) -> None:
    import scipy.sparse as sp

    matrix = np.array([[1.0, -3.0, 2.0, 0.0], [0.0, 0.5, 0.0, 0.0]])
    kept = keep_largest(matrix if as_array else sp.csr_matrix(matrix), 2).toarray()
    np.testing.assert_array_equal(kept, [[0, -3, 2, 0], [0, 0.5, 0, 0]])


def test_ease_of_two_items_by_hand() -> None:
    # XᵀX + λI = [[2 + 1, 1], [1, 1 + 1]], its inverse is [[2, -1], [-1, 3]] / 5, and B = -P_ij / P_jj.
    graph = ease_graph(Histories.from_lists([[0, 1], [0]]), 2, l2=1.0)
    np.testing.assert_allclose(graph.weights, [[0, 1 / 3], [1 / 2, 0]], rtol=1e-5)


def random_log(seed: int, num_users: int, num_items: int) -> Histories:
    random = np.random.default_rng(seed)
    return Histories.from_lists(
        [random.choice(num_items, random.integers(0, 9), replace=False).tolist() for _ in range(num_users)]
    )


@pytest.mark.parametrize("l2", [0.5, 20.0, 500.0])
def test_ease_is_its_closed_form(l2: float) -> None:
    log, num_items = random_log(0, 80, 30), 30
    users = user_item_matrix(log, num_items).toarray().astype(np.float64)
    precision = np.linalg.inv(users.T @ users + l2 * np.eye(num_items))
    expected = np.eye(num_items) - precision / np.diag(precision)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(ease_graph(log, num_items, l2=l2).weights, expected, rtol=2e-3, atol=2e-5)


def test_ease_solves_its_ridge_regression() -> None:
    """Each column is the least-squares fit of one item by the others: no small step does better."""
    log, num_items, l2 = random_log(1, 60, 12), 12, 3.0
    users = user_item_matrix(log, num_items).toarray().astype(np.float64)
    weights = ease_graph(log, num_items, l2=l2).weights.astype(np.float64)

    def loss(candidate: np.ndarray) -> float:
        return float(((users - users @ candidate) ** 2).sum() + l2 * (candidate**2).sum())

    random = np.random.default_rng(0)
    for _ in range(20):
        step = random.normal(scale=1e-2, size=weights.shape)
        np.fill_diagonal(step, 0.0)
        assert loss(weights + step) > loss(weights)


def test_ease_with_neighbours_is_sparse() -> None:
    log = random_log(2, 50, 20)
    full, few = ease_graph(log, 20, l2=5.0), ease_graph(log, 20, l2=5.0, neighbours=4)
    assert (np.diff(few.weights.indptr) == 4).all()
    kept = few.weights.toarray()
    np.testing.assert_array_equal(kept[kept != 0], full.weights[kept != 0])


def test_ease_refuses_what_cannot_be_held() -> None:
    with pytest.raises(ConfigError, match="use neighbours instead"):
        ease_graph(LOG, 30_000, l2=1.0)


@pytest.mark.parametrize("pairs", [1, 7, 100, 10**6])
@pytest.mark.parametrize("neighbours", [None, 3])
def test_blocks_of_items_give_the_graph_of_the_whole_product(
    pairs: int, neighbours: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, num_items = random_log(3, 90, 25), 25
    users = user_item_matrix(log, num_items).toarray()
    together = users.T @ users
    counts = np.maximum(np.diag(together), 1.0)
    expected = together / (np.sqrt(np.outer(counts, counts)) + 2.0)
    np.fill_diagonal(expected, 0.0)
    monkeypatch.setattr(item_graph, "BLOCK_PAIRS", pairs)
    blocks = list(item_graph.co_occurrences(user_item_matrix(log, num_items)))
    assert (len(blocks) > 1) == (pairs < 10**6)
    found = dense(cosine_graph(log, num_items, neighbours=neighbours, shrink=2.0).weights)
    if neighbours is not None:
        assert ((found > 0).sum(axis=1) <= neighbours).all()
        np.testing.assert_allclose(np.sort(found)[:, -3:], np.sort(expected)[:, -3:], rtol=1e-5)
        expected = np.where(found > 0, expected, 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_slim_with_all_neighbours_is_ease() -> None:
    """Where every item met fewer than 32 others, its regression on them is the regression on all."""
    log, num_items, l2 = random_log(4, 200, 15), 15, 8.0
    full = ease_graph(log, num_items, l2=l2).weights
    found = dense(slim_graph(log, num_items, l2=l2, neighbours=num_items).weights)
    np.testing.assert_allclose(found, full, rtol=2e-3, atol=2e-5)


def test_slim_regresses_an_item_on_its_neighbours_alone() -> None:
    import scipy.sparse as sp

    from unimp.features.neighbour_ridge import neighbour_ridge

    log, num_items, l2, k = random_log(5, 120, 20), 20, 5.0, 4
    users = user_item_matrix(log, num_items).toarray().astype(np.float64)
    gram = users.T @ users
    counts = np.diag(gram).astype(np.float32)
    together = gram - np.diag(np.diag(gram))
    found = neighbour_ridge(sp.csr_matrix(together.astype(np.float32)), counts, l2=l2, regressors=k).toarray()
    for item in range(num_items):
        chosen = np.flatnonzero(found[:, item])
        assert 0 < len(chosen) <= k
        assert together[chosen, item].sum() == np.sort(together[:, item])[-k:].sum()
        ridge = np.linalg.solve(gram[np.ix_(chosen, chosen)] + l2 * np.eye(len(chosen)), gram[chosen, item])
        np.testing.assert_allclose(found[chosen, item], ridge, rtol=1e-3, atol=1e-5)


def test_shared_users_reads_the_matrix_at_every_place() -> None:
    import scipy.sparse as sp

    from unimp.features.neighbour_ridge import shared_users

    matrix = sp.random(9, 9, density=0.4, format="csr", dtype=np.float32, rng=np.random.default_rng(1))
    rng = np.random.default_rng(2)
    rows, columns = rng.integers(-1, 9, size=(6, 3)), rng.integers(-1, 9, size=(6, 4))
    expected = matrix.toarray()[rows[:, :, None], columns[:, None, :]]
    expected[(rows[:, :, None] < 0) | (columns[:, None, :] < 0)] = 0.0
    np.testing.assert_array_equal(shared_users(matrix, rows, columns), expected)
    assert expected.any()
    assert (rows < 0).any()
    assert (columns < 0).any()


def test_an_item_without_company_has_no_slim_weights() -> None:
    weights = dense(slim_graph(Histories.from_lists([[0, 1], [0, 1], [2]]), 5, l2=1.0, neighbours=3).weights)
    assert weights[0, 1] > 0
    assert not weights[2:].any()
    assert not weights[:, 2:].any()


def clustered_content(num_items: int) -> np.ndarray:
    """Unit rows around 60 directions; the last two items have no text."""
    rng = np.random.default_rng(6)
    centres = rng.normal(size=(60, 12))
    rows = centres[rng.integers(60, size=num_items)] + rng.normal(scale=0.5, size=(num_items, 12))
    rows[-2:] = 0.0
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def test_near_content_is_the_exact_content_when_all_cells_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = clustered_content(150)
    exact = content_graph(content, neighbours=10, threshold=0.6).weights
    monkeypatch.setattr(item_graph, "EXACT_CONTENT_ITEMS", 10)
    near = content_graph(content, neighbours=10, threshold=0.6).weights  # no more cells than are compared
    assert exact.nnz > 500
    np.testing.assert_allclose(near.toarray(), exact.toarray(), atol=1e-6)


def test_near_content_finds_most_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    content = clustered_content(3000)
    exact = content_graph(content, neighbours=10, threshold=0.6).weights
    monkeypatch.setattr(item_graph, "EXACT_CONTENT_ITEMS", 10)
    near = content_graph(content, neighbours=10, threshold=0.6).weights
    shared = exact.multiply(near > 0).nnz
    assert shared > 0.9 * exact.nnz
    assert np.diff(near.indptr).max() <= 10
    assert not near.diagonal().any()
    assert not np.diff(near.indptr)[-2:].any()


def test_a_catalogue_without_text_has_an_empty_content_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_graph, "EXACT_CONTENT_ITEMS", 10)
    assert content_graph(np.zeros((20, 3), dtype=np.float32)).weights.nnz == 0


def test_heavy_histories_are_capped_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    log = Histories.from_lists([list(range(12)), [0, 1], [10, 11]])
    config = GraphConfig(kind="cosine", history_cap=3, content=False)
    found = dense(fit_graphs(log, None, 12, config, show=True)["log"].weights)
    assert found[9, 10] > 0
    assert not found[2].any()
    assert "1 histories have more than 3 events" in capsys.readouterr().err
    whole = fit_graphs(log, None, 12, GraphConfig(kind="cosine", content=False), show=True)["log"]
    assert dense(whole.weights)[2].any()
    assert not capsys.readouterr().err


@pytest.mark.parametrize("pairs", [1, 7, 40])
def test_ease_counts_together_in_blocks(monkeypatch: pytest.MonkeyPatch, pairs: int) -> None:
    log = Histories.from_lists([[0, 1, 2, 5], [1, 2], [4, 3, 1], [5]])
    whole = ease_graph(log, 6, l2=2.0).weights
    monkeypatch.setattr(item_graph, "BLOCK_PAIRS", pairs)
    np.testing.assert_array_equal(ease_graph(log, 6, l2=2.0).weights, whole)


@pytest.mark.parametrize("block", [1, 3, 7, 100])
def test_mirror_upper(block: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(7, 7)).astype(np.float32)
    upper = np.triu(matrix)
    np.testing.assert_array_equal(mirror_upper(matrix.copy(), block), upper + np.triu(upper, 1).T)


@pytest.mark.parametrize("as_array", [True, False])
def test_score_sums_the_rows_of_a_history(as_array: bool) -> None:
    import scipy.sparse as sp

    weights = np.arange(9, dtype=np.float32).reshape(3, 3)
    graph = ItemGraph(weights if as_array else sp.csr_matrix(weights))
    scores = graph.score(Histories.from_lists([[0, 2], []]), recency=0.5)
    np.testing.assert_allclose(scores, [0.5 * weights[0] + weights[2], [0, 0, 0]], rtol=1e-5)
    assert scores.dtype == np.float32
