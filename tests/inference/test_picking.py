"""Of several drawn pictures the one that the model's own search prefers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tests.six import Six
from unimp.answer import PictureArray, Query
from unimp.data.histories import Histories
from unimp.features.pixels import load_pixels
from unimp.inference.forward import last_hidden
from unimp.tasks.image_generation.decoder import PAINTED, ModelImageGenerator, paint
from unimp.tasks.image_generation.reranking import PictureReranker
from unimp.tasks.image_generation.sampling import SamplingConfig
from unimp.tasks.image_generation.task import ImageGenerationTask

HISTORIES = Histories.from_lists([[1, 5, 9], [], [30, 31]])
QUERIES = [Query("lamp"), Query("Halden mug"), Query("", picture_row=40)]


def parts_of(six: Six) -> tuple[ModelImageGenerator, PictureReranker]:
    imaginer = six.answerer.decoder(ImageGenerationTask)
    assert imaginer is not None
    assert imaginer.reranker is not None
    return imaginer, imaginer.reranker


@torch.inference_mode()
def test_a_catalogue_picture_scores_as_the_search_head_reads_it(six: Six) -> None:
    """The score is the picture's part in the item's logit."""
    _, reranker = parts_of(six)
    pixels = load_pixels(six.dataset.catalog, *reranker.size)
    assert pixels is not None
    pictures = pixels.values[[3, 8]]
    scores = reranker.score(reranker.sought(HISTORIES.slice(0, 1), QUERIES[:1]), pictures[None])
    vectors = reranker.state.pictures_ID
    assert vectors is not None
    sentence = reranker.encoder.encode(reranker.question(HISTORIES, 0, QUERIES[0]))
    sought = reranker.model.sought(last_hidden(reranker.model, reranker.state, [sentence]))
    expected = sought[:, : vectors.shape[1]] @ vectors[[3, 8]].T
    np.testing.assert_allclose(scores, expected, rtol=2e-2, atol=1e-4)
    assert abs(scores[0, 0] - scores[0, 1]) > 1e-3


def test_the_best_of_several_is_returned(six: Six) -> None:
    imaginer, reranker = parts_of(six)
    imaginer = replace(imaginer, sampling=SamplingConfig(temperature=1.0, top_p=1.0, draws=5), batch=3)
    with torch.inference_mode():
        codes = imaginer.draw(HISTORIES, QUERIES, [torch.Generator().manual_seed(4)] * 3, draws=[5] * 3)
    drawn = paint(imaginer.tokenizer, codes)
    drawn = drawn.reshape(3, 5, *drawn.shape[1:])
    best = reranker.score(reranker.sought(HISTORIES, QUERIES), drawn).argmax(axis=1)
    assert len(np.unique(best)) > 1  # else the first would always do
    np.testing.assert_array_equal(imaginer.imagine(HISTORIES, QUERIES, 4), drawn[np.arange(3), best])


def test_few_pictures_are_compared_between_two_checks(six: Six) -> None:
    """At a check a server answers brief requests: comparing all pictures of a batch at once held them up."""
    imaginer, reranker = parts_of(six)
    compared: list[int] = []

    def see(pictures: PictureArray) -> Tensor:
        compared[-1] += len(pictures)
        return reranker.see(pictures)

    imaginer = replace(
        imaginer,
        reranker=replace(reranker, see=see),
        sampling=SamplingConfig(draws=PAINTED // 2),
        check=lambda: compared.append(0),
    )
    imaginer.imagine(HISTORIES, QUERIES, 4)
    assert sum(compared) == 3 * (PAINTED // 2)
    assert max(compared) == PAINTED


def test_without_a_picker_each_picture_is_drawn_once(six: Six) -> None:
    imaginer, _ = parts_of(six)
    several = replace(imaginer, sampling=SamplingConfig(draws=5), reranker=None)
    once = replace(imaginer, sampling=SamplingConfig(draws=1))
    np.testing.assert_array_equal(several.imagine(HISTORIES, QUERIES, 2), once.imagine(HISTORIES, QUERIES, 2))


def test_pictures_are_brought_to_the_size_the_encoder_reads(six: Six) -> None:
    _, reranker = parts_of(six)
    large = np.random.default_rng(0).integers(0, 256, (2, 3, 50, 40, 3), dtype=np.uint8)
    assert reranker.fitted(large).shape == (6, *reranker.size, 3)
    sought = reranker.sought(HISTORIES.slice(0, 2), QUERIES[:2])
    assert reranker.score(sought, large).shape == (2, 3)
