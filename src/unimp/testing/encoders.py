"""The contracts of encoders of pictures and of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from unimp.features.sentence_model import SentenceModel
    from unimp.features.vision.encoder import VisionEncoder

TEXTS = ("a red bag", "", "a blue lamp with a long and winding description", "a red bag")


class VisionEncoderContract:
    """What every picture encoder promises; a test file inherits it and opens the encoder."""

    def open(self) -> VisionEncoder:
        """The encoder, its weights the same at every call."""
        raise NotImplementedError

    def pictures(self, encoder: VisionEncoder, count: int = 3) -> Any:
        """[count, 3, size, size] random pixels in [0, 1]."""
        import torch

        return torch.rand(count, 3, encoder.size, encoder.size, generator=torch.Generator().manual_seed(0))

    def tokens(self, encoder: VisionEncoder, pictures: Any) -> Any:
        import torch

        with torch.inference_mode():
            return encoder(pictures)

    def test_a_grid_of_tokens(self) -> None:
        encoder = self.open()
        found = self.tokens(encoder, self.pictures(encoder))
        assert tuple(found.shape) == (3, encoder.grid[0] * encoder.grid[1], encoder.width)
        assert bool(found.isfinite().all())

    def test_other_pictures_change_nothing(self) -> None:
        encoder = self.open()
        pictures = self.pictures(encoder)
        alone = self.tokens(encoder, pictures[1:2])
        together = self.tokens(encoder, pictures)[1:2]
        np.testing.assert_allclose(alone.numpy(), together.numpy(), rtol=1e-4, atol=1e-4)

    def test_the_same_weights_see_the_same(self) -> None:
        first, second = self.open(), self.open()
        pictures = self.pictures(first)
        np.testing.assert_array_equal(
            self.tokens(first, pictures).numpy(), self.tokens(second, pictures).numpy()
        )

    def test_pictures_differ(self) -> None:
        encoder = self.open()
        found = self.tokens(encoder, self.pictures(encoder)).numpy()
        assert not np.allclose(found[0], found[1])

    def test_it_stays_in_evaluation_mode(self) -> None:
        assert not self.open().train().training


class TextEncoderContract:
    """What every text encoder promises; a test file inherits it and opens the encoder."""

    def open(self) -> SentenceModel:
        """The encoder, its weights the same at every call."""
        raise NotImplementedError

    def test_vectors_of_unit_length(self) -> None:
        model = self.open()
        found = model.embed(TEXTS)
        assert found.shape == (len(TEXTS), model.width)
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-3)

    def test_no_text(self) -> None:
        model = self.open()
        assert model.embed(()).shape == (0, model.width)

    def test_other_texts_change_nothing(self) -> None:
        model = self.open()
        found = model.embed(TEXTS)
        np.testing.assert_allclose(found[0], found[3], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[2:3], model.embed(TEXTS[2:3]), rtol=1e-4, atol=1e-4)

    def test_the_same_weights_read_the_same(self) -> None:
        np.testing.assert_array_equal(self.open().embed(TEXTS), self.open().embed(TEXTS))
