"""The golden run: shows that a change of the code changed no number.

    python benchmarks/golden/golden.py --out before.json      # on the old code
    python benchmarks/golden/golden.py --compare before.json  # on the new code; status 1 on a difference

Three small recipes (`golden_recipes.py`) are trained on the embedded shop with one thread: recommendation
alone, all six tasks, and, where `transformers` is installed, six tasks on a language model of random weights.
The files of the run, `unimp evaluate`, the Python API, the HTTP service (`golden_site.py`) and two methods of
`unimp bench` are hashed, floats to their last bit, so compare only runs of one machine and one environment.
Wall-clock figures and paths are left out. The run takes about a minute.

Every entry has two hashes: `hash` of names and values, and `values` of the values alone (of weights: in
whatever order), so that a mere renaming is told from a changed number. `preview` is for the reader only.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}

import argparse
import contextlib
import hashlib
import importlib.util
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from golden_recipes import ON_LANGUAGE, SHOP, SIX, SMALL, language_model
from golden_site import ask_service
from PIL import Image

from unimp import Personalizer, load
from unimp.cli.main import main as command_line
from unimp.demo.shop.writing import write_shop

CLOCKS = {"seconds", "peak_memory_mib", "run", "versions", "device"}
"""Keys of documents that differ from run to run, or that tell of the machine."""
USERS = 6


def short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def leaves(document: Any) -> Iterator[Any]:
    """The values of a document in its order, without the keys."""
    if isinstance(document, dict | list | tuple):
        for one in document.values() if isinstance(document, dict) else document:
            yield from leaves(one)
    else:
        yield document


def timeless(document: Any) -> Any:
    """The document without what CLOCKS names."""
    if isinstance(document, dict):
        return {key: timeless(value) for key, value in document.items() if key not in CLOCKS}
    return [timeless(one) for one in document] if isinstance(document, list | tuple) else document


def entry(document: Any) -> dict[str, str]:
    """The hashes of a document and its beginning; floats are written to their last bit."""
    whole = json.dumps(document, sort_keys=True)
    return {
        "hash": short(whole.encode()),
        "values": short(json.dumps(list(leaves(document))).encode()),
        "preview": whole[:160],
    }


def weights_entry(path: Path) -> dict[str, str]:
    """The hashes of a safetensors file: with names and in their order, and of the tensors alone."""
    from safetensors.torch import load_file

    tensors = sorted(load_file(path).items())
    hashes = [
        short(f"{t.dtype}{list(t.shape)}".encode() + t.flatten().contiguous().numpy().tobytes())
        for _, t in tensors
    ]
    named = [[name, one] for (name, _), one in zip(tensors, hashes, strict=True)]
    first = [f"{name} {t.flatten()[:2].tolist()}" for name, t in tensors[:3]]
    return {
        "hash": short(json.dumps(named).encode()),
        "values": short(json.dumps(sorted(hashes)).encode()),
        "preview": f"{len(tensors)} tensors: {'; '.join(first)}",
    }


def unimp(*arguments: object) -> Any:
    """The JSON document that the command prints; what it says on standard error is shown if it fails."""
    out, said, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["unimp", *map(str, arguments), "--json"]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            command_line()
    except SystemExit as stop:
        if stop.code:
            raise RuntimeError(f"{' '.join(sys.argv)}: {said.getvalue()}") from None
    finally:
        sys.argv = before
    return json.loads(out.getvalue())


def trained(data: Path, folder: Path, recipe: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Train, and hash what the run folder holds and what `unimp evaluate` says of it."""
    settings = []
    for table, values in recipe.items():
        flat = {f"{table}.{key}": one for key, one in values.items()} if isinstance(values, dict) else {}
        settings += [f"--set={key}={json.dumps(one)}" for key, one in (flat or {table: values}).items()]
    result = unimp("train", "--data", data, "--out", folder, "--device", "cpu", *settings)
    yield "train.result", entry(timeless(result))
    yield "train.log", entry([timeless(json.loads(row)) for row in (folder / "log.jsonl").open()])
    for path in sorted(folder.glob("*.safetensors")):
        yield f"train.{path.name}", weights_entry(path)
    for split in ("valid", "test"):
        ranks = folder.parent / "ranks" / f"{folder.name}-{split}.parquet"
        ranks.parent.mkdir(exist_ok=True)
        said = unimp(
            "evaluate", folder, "--split", split, "--ranks", ranks, "--references", "--device", "cpu"
        )
        yield f"evaluate.{split}", entry(timeless(said))
        for path in sorted(ranks.parent.glob(f"{folder.name}-{split}*.parquet")):
            yield (
                f"ranks.{path.stem.removeprefix(folder.name + '-')}",
                entry(pl.read_parquet(path).to_dicts()),
            )


def upload(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 16), colour).save(file, "PNG")
    return file.getvalue()


def answered(model: Personalizer) -> Iterator[tuple[str, dict[str, str]]]:
    """Every task by the Python API: for users of the data, a history from outside and a cold start."""
    ids = model.run.dataset.catalog.item_ids
    users = [str(user) for user in model.run.dataset.interactions.histories.user_ids[:USERS]]
    askers: dict[str, dict[str, Any]] = {f"user{n}": {"user": user} for n, user in enumerate(users)}
    askers |= {"history": {"history": [ids[3], ids[50], ids[7], ids[200]]}, "cold": {"history": []}}
    everything = {"k": len(ids), "exclude_history": False}
    for name, asker in askers.items():
        yield f"api.recommend.{name}", entry(asdict(model.recommend(**asker, **everything)))
        if len(model.tasks) == 1 or name in {f"user{n}" for n in range(2, USERS)}:
            continue
        answers: dict[str, Any] = {
            "search.words": model.search("blue bag", **asker, **everything),
            "search.picture": model.search(picture=upload(), **asker, **everything),
            "search.both": model.search("bag", upload("blue"), **asker, **everything),
            "rate": [model.rate(item, **asker) for item in ids[10:14]],
            "explain": [model.explain(item, **asker) for item in ids[10:14]],
            "select.one": model.select(ids[20:30], **asker),
            "select.free": model.select(ids[40:52], count=None, **asker),
        }
        for task, answer in answers.items():
            several = answer if isinstance(answer, list) else [answer]
            yield f"api.{task}.{name}", entry([asdict(one) for one in several])
        drawn = model.imagine("blue bag", count=2, seed=3, **asker)
        yield (
            f"api.imagine.{name}",
            entry(asdict(drawn) | {"pictures": [np.asarray(one).tolist() for one in drawn.pictures]}),
        )


def benched(data: Path, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Two simple methods by `unimp bench`: their metrics and ranks."""
    few = ["--set=sasrec.epochs=2", "--set=sasrec.threads=1"]
    made = unimp("bench", "run", "--data", data, "--methods", "ease,sasrec", "--out", folder, "--quiet", *few)
    for one in made:
        path = Path(one["file"])
        yield f"bench.{one['method']}.metrics", entry(json.loads(path.read_text())["metrics"])
        yield f"bench.{one['method']}.ranks", entry(pl.read_parquet(path.with_suffix(".parquet")).to_dicts())


def golden(folder: Path) -> dict[str, dict[str, str]]:
    """All entries; `folder` is empty and holds the data, the runs and the cache."""
    os.environ["UNIMP_CACHE"] = str(folder / "cache")
    torch.set_num_threads(1)
    data = write_shop(folder / "shop", SHOP).folder
    recipes = {"one": SMALL, "six": SIX}
    if importlib.util.find_spec("transformers"):
        backbone = {"name": str(language_model(folder / "llama")), "train": "lora", "precision": "float32"}
        recipes["language"] = ON_LANGUAGE | {"backbone": backbone}
    else:
        say("language: left out, not compared; transformers is not installed (the extra `pretrained`)")
    found = dict(benched(data, folder / "bench"))
    for recipe, values in recipes.items():
        started = time.monotonic()
        parts = dict(trained(data, folder / recipe, values))
        model = load(folder / recipe, device="cpu")
        parts |= dict(answered(model))
        asked = ask_service(model, f"sqlite:///{folder / recipe}.db", upload())
        parts |= {f"http.{name}": entry(answer) for name, answer in asked.items()}
        found |= {f"{recipe}.{name}": one for name, one in parts.items()}
        say(f"{recipe}: {len(parts)} entries in {time.monotonic() - started:.0f} s")
    return found


def differences(old: dict[str, dict[str, str]], new: dict[str, dict[str, str]]) -> list[str]:
    """One line for every entry that is not the same."""
    lines = []
    for name in sorted({*old, *new}):
        if name not in old or name not in new:
            lines.append(f"{name}: only in the {'new' if name in new else 'old'} run")
        elif old[name]["hash"] != new[name]["hash"]:
            kind = "renamed" if old[name]["values"] == new[name]["values"] else "CHANGED"
            lines.append(f"{name}: {kind}\n  old {old[name]['preview']}\n  new {new[name]['preview']}")
    return lines


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the entries to this file, too")
    parser.add_argument("--compare", type=Path, help="a file written by --out, to compare this run with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = golden(Path(folder))
    text = json.dumps(found, indent=1) + "\n"
    if options.out:
        options.out.write_text(text)
    if not options.compare:
        print(text, end="")
        return
    old = json.loads(options.compare.read_text())
    if not any(name.startswith("language.") for name in found):
        old = {name: one for name, one in old.items() if not name.startswith("language.")}
    different = differences(old, found)
    print("\n".join(different) or f"{len(found)} entries, all the same")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
