"""A run on pretrained encoders: features paid for once, queries the same way, reopened only when needed."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.features.tiny import WIDTH, text_folder, vision_folder
from tests.train.conftest import tiny_recipe
from unimp.core.errors import CheckpointError, ConfigError, UnimpError
from unimp.data.dataset import Dataset
from unimp.data.pictures import fit_pixels, read_upload
from unimp.data.upserts import NewItem
from unimp.features.vision import source
from unimp.features.vision.catalog_features import decoded
from unimp.features.vision.grid_encoder import GridEncoder
from unimp.features.vision.pretrained import TrainablePretrained
from unimp.features.vision.source import EncoderSource
from unimp.inference.attribution import AlteredItems
from unimp.personalizer import Personalizer, load
from unimp.runs.artifacts import RunArtifacts
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.train.preparation import build_artifacts
from unimp.train.training_run import train

CPU = torch.device("cpu")


def training_split(dataset: Dataset) -> TrainingSplit:
    return TrainingSplit.of(dataset, make_split(dataset, "leave-one-out"))


def artifacts(dataset: Dataset, **tables: Any) -> RunArtifacts:
    return build_artifacts(training_split(dataset), tiny_recipe(**tables), device=CPU, show_progress=False)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return vision_folder(tmp_path / "clip", "clip_vision_model")


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return text_folder(tmp_path / "bert")


class Counting:
    """Counts the pictures that go through an encoder."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.pictures = 0
        self.opened = 0
        forward, opening = GridEncoder.forward, source.open_vision

        def counted(encoder: GridEncoder, pixels: torch.Tensor) -> torch.Tensor:
            self.pictures += len(pixels)
            return forward(encoder, pixels)

        def opened(*arguments: Any) -> GridEncoder:
            self.opened += 1
            return opening(*arguments)

        patch.setattr(GridEncoder, "forward", counted)
        patch.setattr(source, "open_vision", opened)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def test_frozen_features_are_the_encoders_own(tiny_dataset: Dataset, clip: Path) -> None:
    made = artifacts(tiny_dataset, vision={"encoder": str(clip), "tokens": 4, "token_width": 0})
    items = made.items
    assert items.visual_IVE is not None
    assert items.visual_IVE.dtype == torch.float16
    assert items.visual_IVE.shape == (20, 4, WIDTH)
    assert made.visual_width == WIDTH
    assert not items.visual_IVE[0].any(), "the first item has no picture"
    pixels = torch.from_numpy(decoded(tiny_dataset.catalog, ["7.png"], 16)).permute(0, 3, 1, 2) / 255
    encoder = EncoderSource(str(clip), 0, 0).encoder
    with torch.inference_mode():
        grid = encoder(pixels).unflatten(1, (2, 2, 2, 2)).mean(dim=(2, 4)).flatten(1, 2)
    torch.testing.assert_close(items.visual_IVE[7].float(), grid[0], atol=2e-3, rtol=2e-3)


def test_an_unchanged_picture_is_never_encoded_again(
    tiny_dataset: Dataset, clip: Path, counting: Counting, tmp_path: Path
) -> None:
    vision = {"encoder": str(clip), "token_width": 8}
    first = artifacts(tiny_dataset, vision=vision)
    assert counting.pictures == 19
    again = artifacts(tiny_dataset, vision={**vision, "token_width": 6})
    assert (counting.pictures, counting.opened) == (19, 1), "another width is no other encoder"
    assert first.items.visual_IVE is not None
    assert again.items.visual_IVE is not None
    assert (first.items.visual_IVE.shape[2], again.items.visual_IVE.shape[2]) == (8, 6)
    catalog = tiny_dataset.catalog
    changed = tmp_path / "pictures"
    changed.mkdir()
    for reference, data in catalog.pictures.read([r for r in catalog.picture_references if r]):  # type: ignore[union-attr]
        (changed / reference).write_bytes(data)
    Image.new("RGB", (9, 9), "red").save(changed / "4.png")
    object.__setattr__(catalog.pictures, "path", changed)
    artifacts(tiny_dataset, vision=vision)
    assert (counting.pictures, counting.opened) == (20, 2)
    vision_folder(clip, "clip_vision_model", seed=1)
    artifacts(tiny_dataset, vision=vision)
    assert counting.pictures == 39, "other weights, other features"


def trained(dataset: Dataset, folder: Path, **tables: Any) -> Personalizer:
    recipe = tiny_recipe(train={"epochs": 1}, **tables)
    recipe = recipe.model_copy(update={"tasks": ("recommendation", "search")})
    train(dataset, recipe, folder, device=CPU, show=False)
    return load(folder, device="cpu")


def upload(item: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 16), (item * 12, 255 - item * 12, 128)).save(file, "PNG")
    return file.getvalue()


def test_a_run_names_its_encoders_and_opens_them_when_they_are_needed(
    tiny_dataset: Dataset, clip: Path, bert: Path, counting: Counting, tmp_path: Path
) -> None:
    tables = {
        "vision": {"encoder": str(clip), "tokens": 4, "token_width": 8},
        "content": {"text": 8, "encoder": str(bert)},
    }
    trained(tiny_dataset, tmp_path / "run", **tables)
    counting.opened = 0
    opened = load(tmp_path / "run", device="cpu")
    assert opened.recommend(user="u001").items
    assert counting.opened == 0
    assert "model" not in opened.run.artifacts.sentences.source.__dict__  # type: ignore[union-attr]
    found = opened.search(picture=upload(7))
    assert counting.opened == 1
    assert found.has_picture
    visual = opened.run.artifacts.items.visual_IVE
    assert visual is not None
    pixels = fit_pixels(read_upload(upload(7)), *opened.run.artifacts.picture_size)
    seen = opened.run.artifacts.see(opened.answerer.model, pixels[None])
    torch.testing.assert_close(seen[0].half(), visual[7], atol=4e-3, rtol=4e-3)
    before = [item.score for item in opened.search("red mug").items]
    after = [item.score for item in opened.search("striped shirt").items]
    assert before != after, "words go through the sentence encoder"
    assert "model" in opened.run.artifacts.sentences.source.__dict__  # type: ignore[union-attr]


def test_a_run_whose_encoder_changed_or_went_says_so(
    tiny_dataset: Dataset, clip: Path, tmp_path: Path
) -> None:
    opened = trained(tiny_dataset, tmp_path / "run", vision={"encoder": str(clip), "token_width": 8})
    vision_folder(clip, "clip_vision_model", seed=1)
    with pytest.raises(
        CheckpointError, match=r"but the features were made by clip_vision_model-.*; put the old"
    ):
        opened.search(picture=upload(3))
    shutil.rmtree(clip)
    again = load(tmp_path / "run", device="cpu")
    assert again.recommend(user="u001").items
    with pytest.raises(ConfigError, match=r"no such folder"):
        again.search(picture=upload(3))
    (tmp_path / "run" / "visual.npy").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"visual.npy: missing or damaged"):
        load(tmp_path / "run", device="cpu")


def test_end_to_end_the_encoder_learns_and_is_saved_with_the_model(
    tiny_dataset: Dataset, clip: Path, tmp_path: Path
) -> None:
    vision = {"encoder": str(clip), "token_width": 8, "trainable": True, "resampler": 3}
    opened = trained(tiny_dataset, tmp_path / "run", vision=vision)
    model = opened.answerer.model
    assert isinstance(model.vision, TrainablePretrained)
    fresh = EncoderSource(str(clip), 0, 0).encoder
    moved = [
        name
        for (name, new), old in zip(model.vision.encoder.named_parameters(), fresh.parameters(), strict=True)
        if not torch.equal(new, old)
    ]
    assert any("embeddings" in name for name in moved), "the gradient reaches the pixels' end"
    first = opened.search("thing", picture=upload(5)).items
    again = load(tmp_path / "run", device="cpu").search("thing", picture=upload(5)).items
    assert first == again


def test_text_alone_beside_tfidf_and_none(tiny_dataset: Dataset, bert: Path) -> None:
    blind = {"enabled": False}
    alone = artifacts(
        tiny_dataset, vision=blind, content={"text": 0, "encoder": str(bert), "encoder_width": 5}
    )
    both = artifacts(
        tiny_dataset, vision=blind, content={"text": 8, "encoder": str(bert), "encoder_width": 5}
    )
    words = artifacts(tiny_dataset, vision=blind, content={"text": 8})
    widths = [made.items.content["text"].shape[1] for made in (alone, both, words)]
    assert widths == [5, words.items.content["text"].shape[1] + 5, words.items.content["text"].shape[1]]
    for made in (alone, both, words):
        np.testing.assert_allclose(made.items.content["text"].norm(dim=1), 1, rtol=1e-5)
    half = np.float32(0.5**0.5)
    joined = torch.cat((words.items.content["text"], alone.items.content["text"]), dim=1) * half
    torch.testing.assert_close(both.items.content["text"], joined)
    assert both.encoder.project is not None
    title = "thing number 4 of kind 1. brand0"
    place = both.encoder.project([title])[0]
    own = both.items.content["text"].numpy()[4]
    np.testing.assert_allclose(place[-5:], own[-5:], atol=2e-3)  # the item's own vector went through fp16


@pytest.mark.parametrize(
    ("vision", "message"),
    [
        ({"tokens": 17}, r"vision.tokens 17: does not fit the encoder's 4 x 4 = 16 visual tokens"),
        (
            {"tokens": 4, "resampler": 5},
            r"vision.resampler 5: a picture has 4 visual tokens; ask for at most",
        ),
        ({"token_width": 13}, r"vision.token_width 13: the encoder's tokens are 12 wide"),
        ({"size": 18}, r"vision.size 18: .* reads multiples of 4; try 16"),
    ],
)
def test_what_the_encoder_cannot_give_is_refused(
    tiny_dataset: Dataset, clip: Path, vision: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnimpError, match=message):
        artifacts(tiny_dataset, vision={"encoder": str(clip), "token_width": 8, **vision})


def test_our_own_encoder_can_be_resampled_within_its_grid(tiny_dataset: Dataset) -> None:
    model = artifacts(tiny_dataset, vision={"resampler": 4}).new_model()
    assert model.resampler is not None
    with pytest.raises(ConfigError, match=r"vision.resampler 5: a picture has 4 visual tokens"):
        artifacts(tiny_dataset, vision={"resampler": 5})
    with pytest.raises(ConfigError, match=r"width must be at least 4, or 0 for the width of a pretrained"):
        tiny_recipe(vision={"token_width": 0})


def test_an_encoder_without_pictures_is_refused(tiny_dataset: Dataset, clip: Path) -> None:
    object.__setattr__(tiny_dataset.catalog, "pictures", None)
    with pytest.raises(ConfigError, match=r"no item has a picture; leave it empty for this data"):
        artifacts(tiny_dataset, vision={"encoder": str(clip)})


def test_an_item_put_later_goes_through_the_same_encoders(
    tiny_dataset: Dataset, clip: Path, bert: Path, tmp_path: Path
) -> None:
    opened = trained(
        tiny_dataset,
        tmp_path / "run",
        vision={"encoder": str(clip), "tokens": 4, "token_width": 8},
        content={"text": 8, "encoder": str(bert)},
    )
    twin = {"title": "thing number 7 of kind 1", "brand": "brand3"}
    grown = opened.upsert_items([NewItem("new", twin, opened.item_pixels(upload(7), "new"))])
    row = grown.run.dataset.catalog.row_of["new"]
    assert grown.index is not None
    assert grown.index.text is not None
    own = opened.run.artifacts.items.content["text"].numpy()
    np.testing.assert_allclose(grown.index.text.rows[row].numpy(), own[7], atol=3e-3)
    state = grown.answerer.state
    assert state.pictures_ID is not None
    torch.testing.assert_close(state.pictures_ID[row], state.pictures_ID[7], atol=3e-3, rtol=1e-2)
    assert grown.recommend(history=["new", "i03"]).items


def test_an_attribute_is_left_out_of_all_of_the_text(
    tiny_dataset: Dataset, bert: Path, tmp_path: Path
) -> None:
    content = {"text": 8, "encoder": str(bert)}
    opened = trained(tiny_dataset, tmp_path / "run", vision={"enabled": False}, content=content)
    answerer, artifacts = opened.answerer, opened.run.artifacts
    altered = AlteredItems(answerer.model, answerer.state, tiny_dataset.catalog, artifacts.item_text)
    changed = altered.without_attribute([3, 4], "brand")
    table = altered.state().table_ID
    torch.testing.assert_close(table[changed[3]], table[3])  # item 3 has no brand
    assert not torch.allclose(table[changed[4]], table[4], atol=1e-4)
