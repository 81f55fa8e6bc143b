"""Cached decoding equals the full forward pass; later positions never move earlier ones."""

from __future__ import annotations

import pytest
import torch

from unimp.core.low_pass import low_pass
from unimp.model.decoder import FILTER_SPAN, CompactDecoder


@pytest.fixture(params=[0.0, 0.6], ids=["attention", "with a filter"])
def decoder(request: pytest.FixtureRequest) -> CompactDecoder:
    torch.manual_seed(0)
    filter_share = float(request.param)
    return CompactDecoder(
        width=16, layers=3, heads=2, hidden=32, dropout=0.5, filter_share=filter_share
    ).eval()


@pytest.mark.parametrize("pieces", [[7], [1] * 7, [3, 1, 3], [5, 2]])
def test_cached_equals_full(decoder: CompactDecoder, pieces: list[int]) -> None:
    x = torch.randn(2, 7, 16)
    cache = decoder.new_cache(batch=2, capacity=9)
    parts = [decoder(part, cache) for part in x.split(pieces, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), decoder(x), rtol=1e-4, atol=1e-5)
    assert cache.used == 7


def test_cache_overflow_is_an_error(decoder: CompactDecoder) -> None:
    with pytest.raises(ValueError, match="holds 3 positions, 4 needed"):
        decoder(torch.randn(1, 4, 16), decoder.new_cache(batch=1, capacity=3))


def test_causal(decoder: CompactDecoder) -> None:
    x = torch.randn(1, 6, 16)
    changed = x.clone()
    changed[:, 4:] += 1.0
    assert torch.equal(decoder(x)[:, :4], decoder(changed)[:, :4])
    assert not torch.equal(decoder(x)[:, 4:], decoder(changed)[:, 4:])


def test_order_matters(decoder: CompactDecoder) -> None:
    x = torch.randn(1, 4, 16)
    swapped = x[:, [1, 0, 2, 3]]
    assert not torch.allclose(decoder(x)[:, -1], decoder(swapped)[:, -1], atol=1e-4)


def test_rows_aligned_at_their_ends_read_as_they_would_alone(decoder: CompactDecoder) -> None:
    x = torch.randn(2, 7, 16)
    starts = torch.tensor([0, 3])
    found = decoder(x, decoder.new_cache(batch=2, capacity=7, starts_B=starts))
    torch.testing.assert_close(found[0], decoder(x[:1])[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1, 3:], decoder(x[1:, 3:])[0], rtol=1e-4, atol=1e-5)


def test_keys_read_alone_are_continued_at_their_own_positions(decoder: CompactDecoder) -> None:
    """Two prefixes of 5 and 2 positions, laid into one cache behind each other's ends, then three more."""
    x = [torch.randn(1, 5, 16), torch.randn(1, 2, 16)]
    more = torch.randn(2, 3, 16)
    together = decoder.new_cache(batch=2, capacity=8, starts_B=torch.tensor([0, 3]))
    for row, prefix in enumerate(x):
        alone = decoder.new_cache(batch=1, capacity=5)
        decoder(prefix, alone)
        length = prefix.shape[1]
        together.keys[:, row, :, 5 - length : 5] = alone.keys[:, 0, :, :length]
        together.values[:, row, :, 5 - length : 5] = alone.values[:, 0, :, :length]
    together.used, together.own_positions = 5, True
    found = decoder(more, together)
    for row, prefix in enumerate(x):
        whole = decoder(torch.cat([prefix, more[row : row + 1]], dim=1))
        torch.testing.assert_close(found[row], whole[0, -3:], rtol=1e-4, atol=1e-5)


def test_the_low_part_is_what_a_fourier_transform_keeps() -> None:
    """At the last of `span` positions: all but the lowest frequencies set to zero and transformed back."""
    span, cutoff = 12, 5
    torch.manual_seed(0)
    values = torch.randn(span, 3)
    spectrum = torch.fft.rfft(values, dim=0)
    spectrum[(cutoff + 1) // 2 :] = 0
    expected = torch.fft.irfft(spectrum, n=span, dim=0)[-1]
    torch.testing.assert_close(low_pass(span, cutoff) @ values.flip(0), expected, rtol=1e-4, atol=1e-5)


def test_a_filter_changes_what_is_read() -> None:
    torch.manual_seed(0)
    plain = CompactDecoder(width=16, layers=1, heads=2, hidden=32, dropout=0.0).eval()
    filtering = CompactDecoder(width=16, layers=1, heads=2, hidden=32, dropout=0.0, filter_share=0.5).eval()
    filtering.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(1, 5, 16)
    assert not torch.allclose(plain(x), filtering(x), atol=1e-3)
    filtering.layers[0].high_scale.data.fill_(1.0)  # high and low alike: a position's own value
    normed = torch.randn(1, 5, 16)
    own = filtering.layers[0].filtered(normed, filtering.low_weights(5, None))
    torch.testing.assert_close(own, normed, rtol=1e-4, atol=1e-5)


def test_beyond_its_span_the_filter_reads_nothing() -> None:
    decoder = CompactDecoder(width=16, layers=1, heads=2, hidden=32, dropout=0.0, filter_share=0.5)
    weights = decoder.low_weights(FILTER_SPAN + 3, None)
    assert weights[-1, :3].tolist() == [0.0, 0.0, 0.0]
    assert bool((weights.triu(1) == 0).all())
    assert bool((weights[-1, 3:8] != 0).all())
