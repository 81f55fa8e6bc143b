"""A recipe: every choice of a training run in one typed, frozen object, written as TOML."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from unimp.core.config import Config, merge, parse_overrides, read_toml
from unimp.core.errors import ConfigError, did_you_mean
from unimp.data.splits import SplitName
from unimp.features.pixels import VisionConfig
from unimp.features.text import ContentConfig
from unimp.fusion.structure import StructureConfig
from unimp.model.backbones.config import BackboneConfig, LoraConfig
from unimp.model.image_tokenizer import ImageTokenizerConfig
from unimp.model.unimp import ModelConfig
from unimp.sentence.template import SentenceConfig
from unimp.sentence.vocabulary import TokenizerConfig
from unimp.tasks.explanation.decoder import SpeakingConfig
from unimp.tasks.image_generation.decoder import SamplingConfig


class ObjectiveConfig(Config):
    """Weights of what is predicted (paper, joint multi-task learning and context reconstruction)."""

    tasks: dict[str, float] = Field(default_factory=dict)
    """λ of each task's loss; 1 where not named. Only their ratios count: the mean over an epoch is 1."""
    temperature: float = Field(1.0, ge=1)
    """Mixing: a task's share of the sentences goes with its number of examples to the power 1 / temperature.
    1: as many as there are; very large: the same number of every task."""
    item: float = Field(1.0, ge=0)
    """Context reconstruction: the items of a history, where the task asks for something else."""
    attribute: float = Field(1.0, ge=0)
    """Context reconstruction: the words of each item's attributes."""
    rating: float = Field(1.0, ge=0)
    """Context reconstruction: the ratings of a history, in tasks that ask for something else."""
    gamma: float = Field(2.0, ge=0)
    """Token-level re-weighting (1 - p)^gamma; the paper's runs use 2, 0 switches it off. The weights'
    mean is brought to 1."""
    detach: bool = True
    """Take the weights as given; otherwise the gradient runs through them too (focal loss proper)."""
    horizon: int = Field(1, ge=1)
    """Right answers of one recommendation: the next item, and so many less one after it. More than one
    where the order within a history says little (baskets, films rated in one evening)."""
    horizon_decay: float = Field(0.8, gt=0, le=1)
    """Part of each further item, relative to the one before it."""
    prior: float = Field(0.0, ge=0)
    """Logit adjustment (Menon et al., ICLR 2021): adds this times log(training events + 1) to an item's
    logit while training, so that the model learns what suits rather than what is popular."""
    cold_negatives: bool = True
    """Count items without any training event among the wrong answers. Off, they are pushed nowhere: their
    identity starts at zero and they are known by their content alone, as a new item is."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the item target spread over the catalogue."""


class TrainConfig(Config):
    """The loop."""

    epochs: int = Field(30, ge=1)
    """Passes over all histories, at most."""
    max_steps: int = Field(0, ge=0)
    """Stop after this many steps, in the middle of an epoch if need be; 0: no such end."""
    lr: float = Field(1e-3, gt=0)
    """Peak learning rate of AdamW."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps with a rising learning rate; cosine decay to `final_lr` follows."""
    final_lr: float = Field(0.1, ge=0, le=1)
    """Learning rate at the end, as a share of `lr`."""
    weight_decay: float = Field(0.01, ge=0)
    """On matrices; not on gates, norms and biases."""
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm."""
    batch_positions: int = Field(2048, ge=1)
    """Padded positions per step."""
    patience: int = Field(5, ge=1)
    """Stop after this many epochs without a better validation score: the headline of the task, or the
    geometric mean of the tasks' headlines."""
    valid_users: int = Field(5000, ge=1)
    """Users that validation looks at after each epoch, chosen by seed."""
    seed: int = 0
    """Of the weights, the order and the dropout."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What the compact decoder computes in while it trains; bfloat16 needs a CUDA device. Weights, losses and
    answers stay float32. A backbone has its own key."""
    compile: bool = False
    """Compile the compact decoder's layers with torch.compile; needs a CUDA device. A backbone has its own
    key."""
    threads: int = Field(0, ge=0)
    """Threads of the CPU; 0 takes all."""
    checkpoint_seconds: float = Field(60.0, gt=0)
    """A training state is written at least this often."""
    split: SplitName = "leave-one-out"
    """What is held out."""


class Recipe(Config):
    """All of it; saved with every checkpoint and every result."""

    name: str = "small"
    tasks: tuple[str, ...] = ("recommendation",)
    """Tasks trained together, one checkpoint for all of them."""
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
    objective: ObjectiveConfig = ObjectiveConfig()
    train: TrainConfig = TrainConfig()


FORMER_NAMES = {
    "six-hm": "multitask-hm",
    "six-movies": "multitask-movies",
    "six-instruments": "multitask-instruments",
}
"""Recipes that had another name; scripts that use it go on working."""


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(
        Path(entry.name).stem
        for entry in resources.files("unimp.recipes").iterdir()
        if entry.name.endswith(".toml")
    )


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
    values.setdefault("name", place)
    return merge(read_recipe(base), values) if base else values


def load_recipe(name: str, settings: Iterable[str] = ()) -> Recipe:
    """Recipe `name` with `--set` overrides; ConfigError on an unknown key or a value of the wrong kind."""
    return Recipe.parse(merge(read_recipe(name), parse_overrides(settings)), f"recipe {name}")
