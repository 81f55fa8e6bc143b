import numpy as np
import torch

from unimp.baselines.shared.semantic_ids import (
    QuantiserConfig,
    ResidualQuantiser,
    code_trie,
    k_means,
    learn_codes,
    nearest,
    tell_apart,
)
from unimp.testing.world import ToyFeatures


def test_each_level_quantises_what_is_left() -> None:
    quantiser = ResidualQuantiser(QuantiserConfig(levels=2, codes=2, width=2, commitment=0.25), 3)
    quantiser.codebooks_LCE.data = torch.tensor([[[4.0, 0.0], [0.0, 4.0]], [[1.0, 0.0], [0.0, -1.0]]])
    codes, vectors, loss = quantiser.quantise(torch.tensor([[5.0, 0.5], [0.0, 3.0]]))
    # (5, .5) − (4, 0) = (1, .5), nearest (1, 0), left (0, .5); (0, 3) − (0, 4) = (0, −1), nearest itself
    assert codes.tolist() == [[0, 0], [1, 1]]
    assert vectors.tolist() == [[5.0, 0.0], [0.0, 3.0]]
    squares = (1.25 + 1.0) / 2 + (0.25 + 0.0) / 2
    torch.testing.assert_close(loss, torch.tensor(1.25 * squares))


def test_gradients_pass_straight_through_to_the_encoder() -> None:
    torch.manual_seed(0)
    quantiser = ResidualQuantiser(QuantiserConfig(commitment=0.0, codes=4), 3)
    quantiser(torch.randn(5, 3)).backward()
    assert quantiser.encoder[0].weight.grad.abs().sum() > 0
    assert quantiser.codebooks_LCE.grad.abs().sum() > 0


def test_nearest_is_by_distance() -> None:
    torch.manual_seed(0)
    points, codebook = torch.randn(20, 4), torch.randn(6, 4)
    assert nearest(points, codebook).tolist() == torch.cdist(points, codebook).argmin(dim=1).tolist()


def test_k_means_finds_clear_clusters() -> None:
    torch.manual_seed(1)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    points = centres.repeat(50, 1) + 0.1 * torch.randn(100, 2)
    found = k_means(points, 2)
    torch.testing.assert_close(found[found[:, 0].argsort()], centres, rtol=0, atol=0.1)
    assert k_means(points[:3], 8).shape == (8, 2)


def test_the_last_code_tells_equal_tuples_apart() -> None:
    found = tell_apart(np.array([[1, 2], [0, 0], [1, 2], [1, 2], [0, 1]]))
    assert found.tolist() == [[1, 2, 0], [0, 0, 0], [1, 2, 1], [1, 2, 2], [0, 1, 0]]


def test_trie_leads_to_each_item_and_nowhere_else() -> None:
    codes = np.array([[1, 2, 0], [0, 0, 0], [1, 2, 1], [1, 0, 0]])
    trie = code_trie(codes)
    paths = {}
    for a in range(trie[0].shape[1]):
        for b in range(trie[1].shape[1]):
            for c in range(trie[2].shape[1]):
                node = int(trie[0][0, a])
                for table, code in ((trie[1], b), (trie[2], c)):
                    node = int(table[node, code]) if node >= 0 else -1
                if node >= 0:
                    paths[(a, b, c)] = node
    assert paths == {tuple(row): item for item, row in enumerate(codes.tolist())}


def test_codes_are_all_different_and_say_what_the_text_says() -> None:
    torch.manual_seed(0)
    config = QuantiserConfig(levels=2, codes=6, epochs=100, hidden=32, width=8)
    codes = learn_codes(torch.from_numpy(ToyFeatures().text()), config)
    assert codes.shape == (61, 3)
    assert len({tuple(row) for row in codes.tolist()}) == 61
    # Items 0 and 60 have the same text, so they share all but the last code.
    assert codes[0, :2].tolist() == codes[60, :2].tolist()
    # Most of a cluster shares its first code.
    commonest = [np.bincount(codes[10 * cluster : 10 * cluster + 10, 0]).max() for cluster in range(6)]
    assert np.mean(commonest) >= 7


def test_residual_k_means_uses_every_code_and_keeps_its_older_name() -> None:
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(200, 8), dim=1)
    config = QuantiserConfig(kind="k-means", levels=2, codes=16)
    codes = learn_codes(features, config)
    assert [len(np.unique(codes[:, level])) for level in range(2)] == [16, 16]
    assert len(np.unique(codes, axis=0)) == 200
    centres = torch.stack([features[codes[:, 0] == code].mean(dim=0) for code in range(16)])
    own = (features - centres[codes[:, 0]]).square().sum(dim=1)
    assert (own <= torch.cdist(features, centres).square().min(dim=1).values + 0.05).float().mean() > 0.9
    assert config.model_dump()["kind"] == "k-means"
    assert "kind" not in QuantiserConfig().model_dump()
