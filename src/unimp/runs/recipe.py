"""A recipe: every choice of a training run in one typed, frozen object, written as TOML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from unimp.core.config import Config, merge, parse_overrides, read_toml
from unimp.core.errors import ConfigError, did_you_mean
from unimp.features.text import ContentConfig
from unimp.features.vision.config import VisionConfig
from unimp.fusion.config import SecondStageConfig
from unimp.fusion.structure import StructureConfig
from unimp.inference.vector_index import RetrievalConfig
from unimp.model.backbones.config import BackboneConfig, LoraConfig
from unimp.model.config import ModelConfig
from unimp.model.image_tokenizer import ImageTokenizerConfig
from unimp.runs.training_config import DistillationConfig, ObjectiveConfig, TrainConfig
from unimp.sentence.template import SentenceConfig
from unimp.sentence.vocabulary import TokenizerConfig
from unimp.tasks.explanation.decoder import SpeakingConfig
from unimp.tasks.image_generation.sampling import SamplingConfig


class Recipe(Config):
    """All settings of a training run; saved with every checkpoint and every result."""

    name: str = "small"
    """Shown in results; a recipe file's own name where it gives none."""
    tasks: tuple[str, ...] = ("recommendation",)
    """Tasks trained together, one checkpoint for all of them."""
    exclude_history: bool | Literal["auto"] = "auto"
    """Take the items of a user's own history out of every ranking: in validation, in evaluation and in
    answers. `auto` keeps them where users buy again: where a tenth or more of the validation targets are
    items that their user already had."""
    sentence: SentenceConfig = SentenceConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    content: ContentConfig = ContentConfig()
    vision: VisionConfig = VisionConfig()
    image_tokenizer: ImageTokenizerConfig = ImageTokenizerConfig()
    sampling: SamplingConfig = SamplingConfig()
    speaking: SpeakingConfig = SpeakingConfig()
    backbone: BackboneConfig = BackboneConfig()
    lora: LoraConfig = LoraConfig()
    model: ModelConfig = ModelConfig()
    structure: StructureConfig = StructureConfig()
    fusion: SecondStageConfig = SecondStageConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    distillation: DistillationConfig = DistillationConfig()
    train: TrainConfig = TrainConfig()

    @property
    def sections(self) -> tuple[Config, ...]:
        """All of its tables."""
        return tuple(section for _, section in self if isinstance(section, Config))


BASE = "small"
"""The recipe that `unimp train` lays the data's choices upon; other recipes begin with it as it stands."""

FORMER_NAMES = {
    "six-hm": "multitask-hm",
    "six-movies": "multitask-movies",
    "six-instruments": "multitask-instruments",
}
"""Former name of a recipe -> its present one; both are accepted."""


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(
        Path(entry.name).stem
        for entry in resources.files("unimp.recipes").iterdir()
        if entry.name.endswith(".toml")
    )


def recipe_about(name: str) -> str:
    """The comment at the head of a packaged recipe: what it is for."""
    lines = (resources.files("unimp.recipes") / f"{name}.toml").read_text().splitlines()
    return " ".join(line.removeprefix("#").strip() for line in takewhile(lambda text: text[:1] == "#", lines))


def read_recipe(name: str) -> dict[str, Any]:
    """The tables of a packaged recipe or a TOML file, laid upon those of its `base`."""
    name = FORMER_NAMES.get(name, name)
    if name.endswith(".toml"):
        values, place = read_toml(Path(name)), Path(name).stem
    elif name in recipe_names():
        with resources.as_file(resources.files("unimp.recipes") / f"{name}.toml") as path:
            values, place = read_toml(path), name
    else:
        hint = did_you_mean(name, recipe_names())
        raise ConfigError(f"unknown recipe {name!r}{hint} (or give a path that ends in .toml)")
    base = values.pop("base", None)
    values = Recipe.current_keys(values, f"recipe {name}")
    values.setdefault("name", place)
    return merge(read_recipe(base), values) if base else values


def load_recipe(name: str, settings: Iterable[str] = ()) -> Recipe:
    """Recipe `name` with `--set` overrides; ConfigError on an unknown key or a value of the wrong kind."""
    return recipe_of(name, parse_overrides(settings))


def recipe_of(name: str, tables: Mapping[str, Any]) -> Recipe:
    """Recipe `name` with `tables` laid upon it; present and former keys may be mixed."""
    place = f"recipe {name}"
    return Recipe.parse(merge(read_recipe(name), Recipe.current_keys(tables, place)), place)
