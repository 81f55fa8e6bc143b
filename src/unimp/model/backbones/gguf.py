"""GGUF files: read once, kept as a folder of float32 weights that opens in a moment."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

from unimp.core.errors import ConfigError, MissingExtra
from unimp.core.files import atomic_write

MAGIC = b"GGUF"
EXTRA = "pip install 'unimp[pretrained]'"


def cache_folder() -> Path:
    """`$UNIMP_CACHE`, else `~/.cache/unimp`."""
    return Path(os.environ.get("UNIMP_CACHE", Path.home() / ".cache" / "unimp")) / "backbones"


def unpacked(path: Path, identity: str, label: str) -> Path:
    """The folder with this file's model and tokenizer, dequantised; made when it is not there yet.

    ConfigError for a file that is damaged, or of a kind that transformers cannot read.
    """
    folder = cache_folder() / identity
    if (folder / "config.json").is_file():
        return folder
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ConfigError(f"{label}: {path} is no GGUF file; fetch it again")
    model, tokenizer = read_gguf(path, label)
    try:
        with atomic_write(folder) as temporary:
            tokenizer.save_pretrained(temporary)
            plain(model).save_pretrained(temporary)
    except OSError as error:
        if not (folder / "config.json").is_file():  # else another process was faster
            raise ConfigError(
                f"{label}: {folder} cannot be written ({error}); set UNIMP_CACHE to a folder with room"
            ) from None
    return folder


def plain(model: Any) -> Any:
    """The same weights in a model that knows nothing of a quantisation, and can so be saved."""
    config = copy.deepcopy(model.config)
    del config.quantization_config
    same = type(model)(config)
    same.load_state_dict(model.state_dict())
    return same


def read_gguf(path: Path, label: str) -> tuple[Any, Any]:
    """(model, tokenizer) by transformers."""
    try:
        import gguf  # noqa: F401 - transformers asks for it later, and at greater length
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise MissingExtra(f"{label}: a GGUF file needs transformers and gguf; {EXTRA}") from None
    named: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **named)
        return AutoModelForCausalLM.from_pretrained(path.parent, dtype="float32", **named), tokenizer
    except Exception as error:  # whatever a foreign file does to its reader
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ConfigError(
            f"{label}: {path.name} cannot be read ({reason}); name a GGUF of a llama, qwen or mistral kind, "
            "or a folder with config.json and model.safetensors"
        ) from None
