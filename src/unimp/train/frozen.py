"""The frozen parts of a run on disk, so that a run answers without fitting anything again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unimp.data.dataset import Dataset
from unimp.encode.content import TextProjector
from unimp.encode.vocabulary import Vocabulary
from unimp.model.image_tokenizer import ImageTokenizer
from unimp.model.unimp import ItemInputs
from unimp.model.vision import ConvEncoder
from unimp.references.factors import BiasedMF
from unimp.sentence.template import Template
from unimp.structure.graph import ItemGraph
from unimp.tasks import load_tasks
from unimp.train.checkpoint import read_tensors, write_tensors
from unimp.train.image_tokenizer import load_tokenizer, save_tokenizer
from unimp.train.preparation import Lesson, make_split, sentence_encoder
from unimp.train.recipe import Recipe
from unimp.train.workbench import Workbench

VOCABULARY, ITEMS, TOKENIZER = "vocabulary.json", "items.safetensors", "image_tokenizer.safetensors"


def save_workbench(folder: Path, bench: Workbench) -> None:
    """Write vocabulary, item content, graphs, rating factors and the encoders of pictures."""
    bench.vocabulary.save(folder / VOCABULARY)
    items, factors = bench.items, bench.factors
    tensors = {f"content.{name}": block for name, block in items.content.items()}
    optional = {
        "pixels": items.pixels_IYX3,
        "visual": items.visual_IVE,
        "has_picture": items.has_picture_I,
        "ratings.items": None if factors is None else torch.from_numpy(factors.items),
        "ratings.l2": None if factors is None else torch.from_numpy(factors.l2),
        "codes": None if bench.material.codes is None else torch.from_numpy(bench.material.codes),
    }
    tensors |= {name: tensor for name, tensor in optional.items() if tensor is not None}
    tensors["popularity"] = torch.from_numpy(bench.popularity)
    for name, graph in bench.graphs.items():
        weights = graph.weights
        tensors[f"graph.{name}.data"] = torch.from_numpy(weights.data)
        tensors[f"graph.{name}.indices"] = torch.from_numpy(weights.indices.astype(np.int32))
        tensors[f"graph.{name}.offsets"] = torch.from_numpy(weights.indptr.astype(np.int64))
    if bench.text is not None:
        tensors["text.idf"] = torch.from_numpy(bench.text.idf)
        tensors["text.components"] = torch.from_numpy(bench.text.components)
    if bench.vision is not None:
        tensors |= {f"vision.{name}": tensor for name, tensor in bench.vision.state_dict().items()}
    if bench.tokenizer is not None:
        save_tokenizer(folder / TOKENIZER, bench.tokenizer)
    facts = {
        "visual_width": bench.visual_width,
        "words": list(bench.text.vocabulary) if bench.text is not None else [],
        "graphs": list(bench.graphs),
        "ratings": None
        if factors is None
        else [factors.mean, factors.lowest, factors.highest, factors.sweeps],
    }
    write_tensors(folder / ITEMS, tensors, facts)


def load_workbench(folder: Path, recipe: Recipe, dataset: Dataset, device: torch.device) -> Workbench:
    """As it was saved; what tasks need of the log is made again from the data when it is first asked for."""
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    tensors, facts = read_tensors(folder / ITEMS)
    text = None
    if "text.idf" in tensors:
        columns = {word: column for column, word in enumerate(facts["words"])}
        text = TextProjector(columns, tensors["text.idf"].numpy(), tensors["text.components"].numpy())
    on_device = {n: tensors[n].to(device) for n in ("pixels", "visual", "has_picture") if n in tensors}
    items = ItemInputs(
        {name: block.to(device) for name, block in under("content", tensors).items()},
        on_device.get("pixels"),
        on_device.get("visual"),
        on_device.get("has_picture"),
    )
    lesson = Lesson.of(dataset, make_split(dataset, recipe.train.split, recipe.train.seed))
    codes = tensors["codes"].numpy() if "codes" in tensors else None
    material = lesson.material(Template(dataset.catalog, recipe.sentence), codes)
    return Workbench(
        recipe,
        material,
        sentence_encoder(vocabulary, recipe, text),
        load_tasks(recipe.tasks, material),
        items,
        saved_vision(tensors, facts["visual_width"]),
        facts["visual_width"],
        tensors["popularity"].numpy(),
        {name: saved_graph(name, tensors, vocabulary.num_items) for name in facts["graphs"]},
        text,
        saved_factors(tensors, facts["ratings"]),
        saved_tokenizer(folder),
    )


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors named `prefix.…`, by the rest of their names."""
    return {
        name.removeprefix(f"{prefix}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.")
    }


def saved_graph(name: str, tensors: dict[str, Tensor], num_items: int) -> ItemGraph:
    from scipy.sparse import csr_matrix

    parts = [tensors[f"graph.{name}.{part}"].numpy() for part in ("data", "indices", "offsets")]
    return ItemGraph(csr_matrix(tuple(parts), shape=(num_items, num_items)))


def saved_vision(tensors: dict[str, Tensor], width: int | None) -> ConvEncoder | None:
    weights = under("vision", tensors)
    if not weights or width is None:
        return None
    encoder = ConvEncoder(width)
    encoder.load_state_dict(weights)
    return encoder.eval()


def saved_factors(tensors: dict[str, Tensor], facts: Any) -> BiasedMF | None:
    if facts is None:
        return None
    mean, lowest, highest, sweeps = facts
    items, l2 = tensors["ratings.items"].numpy(), tensors["ratings.l2"].numpy()
    return BiasedMF(mean, items, l2, lowest, highest, sweeps)


def saved_tokenizer(folder: Path) -> ImageTokenizer | None:
    return load_tokenizer(folder / TOKENIZER) if (folder / TOKENIZER).exists() else None
