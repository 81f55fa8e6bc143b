import pytest
import torch
import torch.nn.functional as F

from unimp.baselines.shared import losses


@pytest.mark.parametrize("scale", [1.0, 50.0])  # below SAFE_LOGIT, and beyond it
@pytest.mark.parametrize("entries", [1, 35, 10_000])
def test_chunks_give_torchs_loss_and_gradients(
    entries: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "CHUNK_ENTRIES", entries)
    random = torch.Generator().manual_seed(0)
    hidden = (scale * torch.randn(13, 5, generator=random, dtype=torch.float64)).requires_grad_()
    items = torch.randn(7, 5, generator=random, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(7, (13,), generator=random)
    ours = losses.full_cross_entropy(hidden, items, targets)
    theirs = F.cross_entropy(hidden @ items.T, targets)
    torch.testing.assert_close(ours, theirs)
    found = torch.autograd.grad(3.0 * ours, (hidden, items))
    expected = torch.autograd.grad(3.0 * theirs, (hidden, items))
    torch.testing.assert_close(found, expected)


def test_large_logits_stay_finite() -> None:
    hidden, items = torch.full((1, 1), 1e4), torch.tensor([[1.0], [-1.0]])
    assert losses.full_cross_entropy(hidden, items, torch.tensor([1])).item() == pytest.approx(2e4)
