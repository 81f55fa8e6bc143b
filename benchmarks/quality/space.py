"""Do words find items by their pictures, and pictures items by their texts? One space for both, measured.

`python benchmarks/quality/space.py DATA --encoders own,efficientnet --out results/space/NAME.json`

The items with a picture are split into thirds. Every setting is chosen on the second third by what was
learned of the first; the test third is judged once, by what was learned of the other two. Of the judged
items either the text is hidden (words find pictures: precision@10 of the attribute values that the query
names, among the judged items; once more with the title left), or the picture is (a picture finds its item's
text: share among the first ten, and precision@10 of the attribute values, the item itself left out). No
judged item is in the training of the space. H&M is judged by colour group and product type, the embedded
shop by colour and pattern, which its text does not have: there the known items' true values are given to
them as tags.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import torch
from space_items import Judged, load
from space_methods import Method, fit_method

from unimp.core.compute import device_name
from unimp.core.exits import one_line_errors
from unimp.data.histories import FloatArray, IntArray
from unimp.features.joint_space import ItemWords
from unimp.features.text import WORD

COMMON = 10
"""Judged items that must have a value before it is asked for, and places that are looked at."""
UNNAMED = {"Unknown", "Other"}
GRIDS: dict[str, list[dict[str, Any]]] = {
    "neighbours": [{"count": 30}],
    "CCA": [{"shrink": 3.0, "most": 128}],
    "ridge": [{"l2": 10.0}, {"l2": 30.0}],
    "contrastive": [{"lr": 1e-3, "short": 0.5}, {"lr": 1e-3, "short": 0.7}],
    "contrastive, co-purchase": [{"co_bought": 0.3}],
}
"""What is tried on the second third, after the tries of `results/space/hm-tries.json`."""
SHARES = (0.03, 0.1, 0.3, 1.0)
"""Of BM25 (divided by its largest score) beside the space, where the title is left."""


@dataclass(frozen=True)
class TextQuery:
    kind: str
    text: str
    first: str | None
    second: str | None


def text_queries(first: np.ndarray, second: np.ndarray) -> list[TextQuery]:
    """Every common value of either attribute, and every pair of them that an item has."""
    one, two = (
        [value for value, count in sorted(Counter(values.tolist()).items()) if count >= COMMON]
        for values in (first, second)
    )
    one, two = ([value for value in values if value not in UNNAMED] for values in (one, two))
    pairs = sorted({(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)})
    return [
        *(TextQuery("first", value, value, None) for value in one),
        *(TextQuery("second", value, None, value) for value in two),
        *(TextQuery("both", f"{a} {b}", a, b) for a, b in pairs if a in one and b in two),
    ]


def text_values(
    scores_QP: FloatArray, queries: list[TextQuery], first: Any, second: Any
) -> dict[str, list[float]]:
    """precision@10 of every query by what it names; `both, first` judges the first value of a pair."""
    found: dict[str, list[float]] = {}
    for query, scores in zip(queries, scores_QP, strict=True):
        top = np.argsort(-scores, kind="stable")[:COMMON]
        one, two = first[top] == query.first, second[top] == query.second
        values = {"first": one, "second": two, "both": one & two}
        found.setdefault(query.kind, []).append(float(values[query.kind].mean()))
        if query.kind == "both":
            found.setdefault("both, first", []).append(float(one.mean()))
            found.setdefault("both, second", []).append(float(two.mean()))
    return found


def picture_values(scores_PP: FloatArray, first: Any, second: Any) -> dict[str, list[float]]:
    """Of every picture: whether its own text is among the first ten, and precision@10 of the other texts."""
    own = np.diag(scores_PP)[:, None]
    among = (scores_PP >= own).sum(axis=1) <= COMMON
    others = scores_PP.copy()
    np.fill_diagonal(others, -np.inf)
    top = np.argsort(-others, axis=1, kind="stable")[:, :COMMON]
    return {
        "own text": among.astype(float).tolist(),
        "picture, first": (first[top] == first[:, None]).mean(axis=1).tolist(),
        "picture, second": (second[top] == second[:, None]).mean(axis=1).tolist(),
    }


def judge(method: Method, judged: Judged, held: IntArray) -> dict[str, list[float]]:
    first, second = judged.first[held], judged.second[held]
    queries = text_queries(first, second)
    shown = judged.descriptors[held]
    by_text = method.by_text([query.text for query in queries], shown)
    by_picture = method.by_picture(shown, [judged.words[row] for row in held])
    return text_values(by_text, queries, first, second) | picture_values(by_picture, first, second)


@dataclass(frozen=True)
class Random:
    """Chance."""

    def by_text(self, texts: list[str], descriptors_PE: FloatArray) -> FloatArray:
        return np.random.default_rng(1).random((len(texts), len(descriptors_PE)))

    def by_picture(self, descriptors_PE: FloatArray, items: ItemWords) -> FloatArray:
        return np.random.default_rng(2).random((len(descriptors_PE), len(items)))


BESIDE_TITLES = ("ridge", "contrastive")
"""Methods that are judged where the title is left, too."""
CRITERION = ("first", "second", "both", "own text")


def score(values: dict[str, list[float]]) -> float:
    """What is chosen by on validation: the mean of four means."""
    return round(float(np.mean([np.mean(values[name]) for name in CRITERION])), 4)


def by_titles(titles: list[str], queries: list[TextQuery]) -> FloatArray:
    """[Q, P] BM25 of the titles, divided by its largest score; equals in random order."""
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    index = bm25s.BM25(k1=1.5, b=0.75)
    index.index([WORD.findall(title.lower()) for title in titles], show_progress=False)
    found = np.random.default_rng(3).random((len(queries), len(titles))) * 1e-6
    for row, query in zip(found, queries, strict=True):
        scores = index.get_scores(WORD.findall(query.text.lower()))
        row += scores / max(float(scores.max()), 1e-6)
    return found


def titles_left(
    methods: Mapping[str, Method], judged: Judged, held: IntArray, shares: Mapping[str, float]
) -> dict[str, dict[str, list[float]]]:
    """precision@10 where the judged items have a title and a picture, of BM25 alone and beside a space."""
    first, second = judged.first[held], judged.second[held]
    queries = text_queries(first, second)
    words = by_titles([judged.titles[row] for row in held], queries)
    found = {"BM25": text_values(words, queries, first, second)}
    for name, method in methods.items():
        space = method.by_text([query.text for query in queries], judged.descriptors[held])
        found[name] = text_values(space + shares[name] * words, queries, first, second)
    return found


def tune(judged: Judged, encoder: str, tries: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """The best setting of each method on the second third; every try is added to `tries`."""
    learned, held = np.flatnonzero(judged.thirds == 0), np.flatnonzero(judged.thirds == 1)
    known, best = judged.known(learned), {}
    for name in names:
        kept: tuple[float, dict[str, Any], Method] | None = None
        for varied in GRIDS[name]:
            setting = dict(varied)
            if name.startswith("contrastive"):
                setting = {**best["ridge"], **best.get("contrastive", {}), **varied}
            started = time.process_time()
            method = fit_method(name, known, setting)
            seconds = round(time.process_time() - started, 1)
            values = judge(method, judged, held)
            tries.append(
                {"encoder": encoder, "method": name, **setting, "criterion": score(values)}
                | {"means": means(values), "cpu_seconds": seconds}
            )
            print(json.dumps(tries[-1]), flush=True)
            if kept is None or tries[-1]["criterion"] > kept[0]:
                kept = tries[-1]["criterion"], setting, method
        assert kept is not None
        best[name] = kept[1]
        if name in BESIDE_TITLES:
            best[f"{name}, share of titles"] = title_share(name, kept[2], judged, held, encoder, tries)
    return best


def title_share(
    name: str, method: Method, judged: Judged, held: IntArray, encoder: str, tries: list[dict[str, Any]]
) -> float:
    """The best of `SHARES` on the second third."""
    scored = []
    for share in SHARES:
        values = titles_left({name: method}, judged, held, {name: share})[name]
        mean = round(float(np.mean([np.mean(values[kind]) for kind in CRITERION[:3]])), 4)
        tries.append(
            {"encoder": encoder, "method": f"{name} beside titles", "share": share, "criterion": mean}
        )
        scored.append((mean, share))
    return max(scored)[1]


def means(values: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: round(float(np.mean(found)), 4) for name, found in values.items()}


def compared(rows: dict[str, dict[str, list[float]]], base: str) -> dict[str, Any]:
    """Means with 95 % bootstrap intervals over queries, and of the difference to the row `base`."""
    random, report = np.random.default_rng(4), {}
    for name, values in rows.items():
        report[name] = {}
        for kind, found in values.items():
            drawn = random.integers(0, len(found), (2000, len(found)))
            difference = np.array(found) - np.array(rows[base][kind])
            report[name][kind] = {
                "mean": round(float(np.mean(found)), 4),
                "interval": interval(np.array(found)[drawn].mean(axis=1)),
                f"minus {base}": round(float(difference.mean()), 4),
                "interval of the difference": interval(difference[drawn].mean(axis=1)),
            }
    return report


def interval(drawn: np.ndarray) -> list[float]:
    return [round(float(bound), 4) for bound in np.quantile(drawn, (0.025, 0.975))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoders", default="efficientnet,efficientnet+pixels")
    parser.add_argument("--epochs", type=int, default=16, help="of the catalogue's own encoder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tries: list[dict[str, Any]] = []
    read = {name: load(arguments.data, name, arguments.epochs) for name in arguments.encoders.split(",")}
    for name, (judged, _) in read.items():
        tune(judged, name, tries, ["ridge"])
    encoder = max((t for t in tries if "means" in t), key=lambda t: t["criterion"])["encoder"]
    judged, attributes = read[encoder]
    best = tune(judged, encoder, tries, list(GRIDS))
    held, learned = np.flatnonzero(judged.thirds == 2), np.flatnonzero(judged.thirds < 2)
    known, seconds = judged.known(learned), {}
    methods: dict[str, Method] = {"chance": Random()}
    for name in GRIDS:
        started = time.process_time()
        methods[name] = fit_method(name, known, best[name])
        seconds[name] = round(time.process_time() - started, 1)
    rows = {name: judge(method, judged, held) for name, method in methods.items()}
    shares = {name: best[f"{name}, share of titles"] for name in BESIDE_TITLES}
    titled = titles_left({name: methods[name] for name in BESIDE_TITLES}, judged, held, shares)
    queries = text_queries(judged.first[held], judged.second[held])
    command = f"{arguments.data.name} --encoders {arguments.encoders} --epochs {arguments.epochs}"
    result = {
        "command": f"python benchmarks/quality/space.py {command}",
        "attributes": dict(zip(("first", "second"), attributes, strict=True)),
        "items": len(judged.words),
        "learned": len(learned),
        "judged": len(held),
        "co-purchases": len(known.pairs),
        "queries": dict(Counter(query.kind for query in queries)),
        "encoder": encoder,
        "chosen": best,
        "cpu_seconds_to_fit": seconds,
        "text hidden or picture hidden": compared(rows, "ridge"),
        "title left": compared(titled, "BM25"),
        "tries": tries,
        "device": device_name(torch.device("cpu")),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1)
    values = {
        "queries": [query.text for query in queries],
        "text or picture hidden": rows,
        "title left": titled,
    }
    body = json.dumps(rounded(values), separators=(",", ":"))
    arguments.out.write_text(f'{text[:-2]},\n "values": {body}\n}}\n')
    print(json.dumps({name: means(found) for name, found in rows.items()}, indent=1))


def rounded(values: Any) -> Any:
    """Numbers of at most two digits after the point: they are tenths, or zero and one."""
    if isinstance(values, dict):
        return {name: rounded(found) for name, found in values.items()}
    return [round(found, 2) if isinstance(found, float) else found for found in values]


if __name__ == "__main__":
    with one_line_errors():
        main()
