"""The frozen parts of a run on disk, so that a run answers without fitting anything again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unimp.core.errors import CheckpointError, ConfigError
from unimp.core.files import csr_matrix_of, csr_tensors, read_tensors, write_tensors
from unimp.data.dataset import Dataset
from unimp.data.histories import Histories
from unimp.features.cache import open_array, write_array
from unimp.features.cross_modal import CrossModalMatch
from unimp.features.image_tokenizer import load_tokenizer, save_tokenizer
from unimp.features.item_graph import ItemGraph
from unimp.features.joint_space import JointSpace
from unimp.features.photo_match import PhotoMatch
from unimp.features.sentence_embeddings import SentenceProjector, SentenceSource, joint_text
from unimp.features.text import TextProjector
from unimp.features.vision.encoder import SavedVision, VisionEncoder, encoder_class, pooled
from unimp.model.backbones.source import BackboneSource, find_backbone
from unimp.model.image_tokenizer import ImageTokenizer
from unimp.model.inputs import ItemInputs
from unimp.runs.artifacts import RunArtifacts, sentence_encoder
from unimp.runs.recipe import Recipe
from unimp.runs.training_split import TrainingSplit, make_split
from unimp.sentence.template import Template
from unimp.sentence.vocabulary import Vocabulary
from unimp.tasks import load_tasks
from unimp.tasks.rating.factors import BiasedMF
from unimp.tasks.rating.references import BiasModel
from unimp.tasks.rating.regression import RatingRegression

VOCABULARY, ITEMS, TOKENIZER = "vocabulary.json", "items.safetensors", "image_tokenizer.safetensors"
VISUAL = "visual.npy"
"""Visual tokens of an encoder whose features are memory-mapped."""
CONTENT_TEXT = "content-text.npy"
"""The items' text in half precision, memory-mapped, of a run that computes the touched items alone."""
PREPARED = (VOCABULARY, ITEMS, TOKENIZER, VISUAL, CONTENT_TEXT)
"""Files that are made before anything is learned."""


def save_artifacts(folder: Path, artifacts: RunArtifacts) -> None:
    """Write vocabulary, item content, graphs, rating factors and the encoders of pictures."""
    artifacts.vocabulary.save(folder / VOCABULARY)
    items, ratings, vision = artifacts.items, artifacts.ratings, artifacts.vision
    mapped = vision is not None and vision.maps_features
    tensors = {f"content.{n}": block for n, block in items.content.items() if block.dtype != torch.float16}
    optional = {
        "pixels": items.pixels_IYX3,
        "visual": None if mapped else items.visual_IVE,
        "has_picture": items.has_picture_I,
        "codes": None if artifacts.context.codes is None else torch.from_numpy(artifacts.context.codes),
        "thumbnails": None if artifacts.photos is None else artifacts.photos.thumbnails_I3YX,
    }
    tensors |= {name: tensor for name, tensor in optional.items() if tensor is not None}
    if ratings is not None:
        tensors["ratings.items"] = torch.from_numpy(ratings.factors.items)
        tensors["ratings.l2"] = torch.from_numpy(ratings.factors.l2)
        tensors["ratings.item_biases"] = torch.from_numpy(ratings.biases.item_biases)
        tensors["ratings.weights"] = torch.from_numpy(ratings.weights_F)
    tensors["popularity"] = torch.from_numpy(artifacts.popularity)
    for name, graph in artifacts.graphs.items():
        tensors |= csr_tensors(f"graph.{name}", graph.weights)
    if artifacts.text is not None:
        tensors["text.idf"] = torch.from_numpy(artifacts.text.idf)
        tensors["text.components"] = torch.from_numpy(artifacts.text.components)
    if vision is not None:
        tensors |= {f"vision.{name}": tensor for name, tensor in vision.tensors().items()}
    if artifacts.sentences is not None:
        tensors["sentences.mean"] = torch.from_numpy(artifacts.sentences.mean)
        tensors["sentences.components"] = torch.from_numpy(artifacts.sentences.components)
    if artifacts.cross_modal is not None:
        tensors |= cross_modal_tensors(artifacts.cross_modal)
    if mapped and items.visual_IVE is not None:
        write_mapped(folder / VISUAL, items.visual_IVE)
    if artifacts.tokenizer is not None:
        save_tokenizer(folder / TOKENIZER, artifacts.tokenizer)
    facts = {
        "visual_width": artifacts.visual_width,
        "words": list(artifacts.text.vocabulary) if artifacts.text is not None else [],
        "graphs": list(artifacts.graphs),
        "encoders": encoder_facts(artifacts),
        "backbone": None
        if artifacts.backbone is None
        else {"name": artifacts.backbone.lasting_name, "identity": artifacts.backbone.identity},
        "ratings": None if ratings is None else rating_facts(ratings),
        "cross_modal": None if artifacts.cross_modal is None else cross_modal_facts(artifacts.cross_modal),
    }
    write_tensors(folder / ITEMS, tensors, facts)


def load_artifacts(folder: Path, recipe: Recipe, dataset: Dataset, device: torch.device) -> RunArtifacts:
    """As it was saved; what tasks need of the log is made again from the data when it is first asked for."""
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    tensors, facts = read_tensors(folder / ITEMS)
    text = None
    if "text.idf" in tensors:
        columns = {word: column for column, word in enumerate(facts["words"])}
        text = TextProjector(columns, tensors["text.idf"].numpy(), tensors["text.components"].numpy())
    sentences = saved_sentences(tensors, facts)
    vision = saved_vision(tensors, facts, recipe)
    mapped = vision is not None and vision.maps_features and not vision.trained
    if mapped:
        tensors["visual"] = read_mapped(folder / VISUAL)
    on_device = {n: tensors[n].to(device) for n in ("pixels", "visual", "has_picture") if n in tensors}
    content = {name: block.to(device) for name, block in under("content", tensors).items()}
    if (folder / CONTENT_TEXT).exists():
        content["text"] = read_mapped(folder / CONTENT_TEXT)
    items = ItemInputs(
        content,
        on_device.get("pixels"),
        on_device.get("visual"),
        on_device.get("has_picture"),
    )
    if mapped and items.visual_IVE is not None:
        items = replace(items, pooled_IP=pooled(items.visual_IVE))
    training_split = TrainingSplit.of(dataset, make_split(dataset, recipe.train.split, recipe.train.seed))
    codes = tensors["codes"].numpy() if "codes" in tensors else None
    context = training_split.context(Template(dataset.catalog, recipe.sentence), codes)
    return RunArtifacts(
        recipe=recipe,
        context=context,
        encoder=sentence_encoder(vocabulary, recipe, joint_text(text, sentences)),
        tasks=load_tasks(recipe.tasks, context),
        items=items,
        vision=vision,
        popularity=tensors["popularity"].numpy(),
        graphs={
            name: ItemGraph(csr_matrix_of(f"graph.{name}", tensors, vocabulary.num_items))
            for name in facts["graphs"]
        },
        text=text,
        ratings=saved_ratings(tensors, facts["ratings"], training_split.train, content.get("text")),
        tokenizer=saved_tokenizer(folder),
        sentences=sentences,
        backbone=saved_backbone(folder, facts),
        photos=saved_photos(tensors),
        cross_modal=saved_cross_modal(tensors, facts),
    )


def cross_modal_tensors(match: CrossModalMatch) -> dict[str, Tensor]:
    arrays = {"placed": match.placed_IK, **match.space.arrays()}
    return {
        f"cross_modal.{name}": torch.from_numpy(np.ascontiguousarray(rows)) for name, rows in arrays.items()
    }


def cross_modal_facts(match: CrossModalMatch) -> dict[str, Any]:
    return {"terms": list(match.space.terms.vocabulary), "describes": match.describes}


def saved_cross_modal(tensors: dict[str, Tensor], facts: dict[str, Any]) -> CrossModalMatch | None:
    """None for a run that has none, or of an older version."""
    told = facts.get("cross_modal")
    if told is None:
        return None
    arrays = {name: tensor.numpy() for name, tensor in under("cross_modal", tensors).items()}
    space = JointSpace.of_arrays(arrays, told["terms"])
    return CrossModalMatch(space, arrays["placed"], told["describes"])


def saved_photos(tensors: dict[str, Tensor]) -> PhotoMatch | None:
    """None for a run without pictures to search by, or of an older version, which knows them by vectors."""
    if "thumbnails" not in tensors:
        return None
    return PhotoMatch(tensors["thumbnails"], tensors["has_picture"])


def saved_backbone(folder: Path, facts: dict[str, Any]) -> BackboneSource | None:
    """The same language model as in training; CheckpointError when it is gone, or another one is there."""
    told = facts.get("backbone")
    if told is None:
        return None
    try:
        found = find_backbone(told["name"])
    except ConfigError as error:
        raise CheckpointError(f"{folder}: stands on a backbone that is gone: {error}") from None
    if found.identity != told["identity"]:
        raise CheckpointError(
            f"{folder}: was trained on a backbone of hash {told['identity']}, {told['name']} now has hash "
            f"{found.identity}; bring back the one of then, or train again"
        )
    return found


def encoder_facts(artifacts: RunArtifacts) -> dict[str, Any]:
    """Which pretrained encoders the run stands on: where they were found, and the hash of what was found."""
    found = {
        "vision": artifacts.vision.weights if artifacts.vision is not None else None,
        "text": artifacts.sentences.source.weights if artifacts.sentences is not None else None,
    }
    return {
        kind: {"name": weights.lasting_name, "identity": weights.identity}
        for kind, weights in found.items()
        if weights is not None
    }


def saved_sentences(tensors: dict[str, Tensor], facts: dict[str, Any]) -> SentenceProjector | None:
    told = facts.get("encoders", {}).get("text")
    if told is None:
        return None
    mean, components = tensors["sentences.mean"].numpy(), tensors["sentences.components"].numpy()
    return SentenceProjector(SentenceSource(told["name"], told["identity"]), mean, components)


def map_content(folder: Path, items: ItemInputs) -> ItemInputs:
    """The items with their text in half precision, as a memory map of the run folder's own file."""
    if "text" not in items.content:
        return items
    write_mapped(folder / CONTENT_TEXT, items.content["text"].half())
    return replace(items, content={**items.content, "text": read_mapped(folder / CONTENT_TEXT)})


def write_mapped(path: Path, table: Tensor) -> None:
    """An array that `read_mapped` maps; CheckpointError when it cannot be written."""
    try:
        write_array(path, table.cpu().numpy())
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error.strerror}); free some space and resume"
        ) from None


def read_mapped(path: Path) -> Tensor:
    """As a memory map; CheckpointError when it is missing or cut short."""
    found = open_array(path)
    if found is None:
        raise CheckpointError(f"{path}: missing or damaged; train again (the features are cached)")
    return torch.from_numpy(found)


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors named `prefix.…`, by the rest of their names."""
    return {
        name.removeprefix(f"{prefix}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.")
    }


def saved_vision(tensors: dict[str, Tensor], facts: dict[str, Any], recipe: Recipe) -> VisionEncoder | None:
    if facts["visual_width"] is None:
        return None
    weights = facts.get("encoders", {}).get("vision")
    saved = SavedVision(under("vision", tensors), facts["visual_width"], weights)
    return encoder_class(recipe.vision).load(recipe.vision, saved)


def rating_facts(ratings: RatingRegression) -> list[float]:
    """What `saved_ratings` reads beside the tensors."""
    factors = ratings.factors
    return [factors.mean, factors.lowest, factors.highest, factors.sweeps, ratings.biases.l2_user]


def saved_ratings(
    tensors: dict[str, Tensor], facts: list[float] | None, train: Histories, text: Tensor | None
) -> RatingRegression | None:
    if facts is None:
        return None
    if "ratings.weights" not in tensors:
        raise CheckpointError(
            f"{ITEMS}: ratings as an older version of unimp kept them; train the run again with this one"
        )
    mean, lowest, highest, sweeps, l2_user = facts
    arrays = {name: tensor.numpy() for name, tensor in under("ratings", tensors).items()}
    return RatingRegression(
        BiasedMF(mean, arrays["items"], arrays["l2"], lowest, highest, int(sweeps)),
        BiasModel(mean, arrays["item_biases"], l2_user, lowest, highest),
        train,
        None if text is None else text.cpu().numpy(),
        arrays["weights"],
    )


def saved_tokenizer(folder: Path) -> ImageTokenizer | None:
    return load_tokenizer(folder / TOKENIZER) if (folder / TOKENIZER).exists() else None
