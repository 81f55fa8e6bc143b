"""The pages' figures are those of the result files, read by other means than the script that writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
TABLES = (ROOT / "docs" / "tables.md").read_text("utf-8")
SHOWN = ("NDCG@5", "HR@5", "NDCG@10", "HR@10")


def test_pages_are_what_the_script_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "quality"))
    tables = import_module("tables")
    hint = "stale; run `python benchmarks/quality/tables.py`"
    for path, text in tables.pages().items():
        assert path.read_text("utf-8") == text, hint


def results(folder: str) -> list[dict[str, Any]]:
    files = sorted((ROOT / "results" / folder).glob("*-seed*.json"))
    return [json.loads(path.read_text("utf-8")) for path in files]


def short(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def rows_of(text: str) -> Iterator[list[str]]:
    """Cells of the lines of Markdown tables."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def between(name: str) -> str:
    found = re.search(rf"(?s)<!-- {name} -->\n(.*?)<!-- /{name} -->", README)
    assert found is not None
    return found[1]


def seed_means(found: list[dict[str, Any]]) -> dict[tuple[str, ...], set[str]]:
    """Figures as README shows them -> titles that have them; seeds of one config are averaged."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in found:
        fusion = entry.get("fusion") or {}
        help_given = [fusion.get("kind", "none"), fusion.get("settings", {}).get("refit_method", False)]
        key = json.dumps([entry["method"], entry["config"], help_given], sort_keys=True)
        groups.setdefault(key, []).append(entry)
    means: dict[tuple[str, ...], set[str]] = {}
    for entries in groups.values():
        values = [sum(entry["metrics"][name] for entry in entries) / len(entries) for name in SHOWN]
        means.setdefault(tuple(map(short, values)), set()).add(entries[0]["title"])
    return means


@pytest.mark.parametrize("name", ["hm", "beauty"])
def test_every_row_of_the_readmes_first_tables_is_a_result(name: str) -> None:
    folders = (name, f"fusion/{name}", f"backbones/compact-sentences-{name}")
    known: dict[tuple[str, ...], set[str]] = {}
    for folder in folders:
        known |= seed_means(results(folder))
    rows = [cells for cells in rows_of(between(name)) if re.fullmatch(r"\.\d{4}", cells[1])]
    assert len(rows) >= 8
    for label, *figures in rows:
        titles = known.get(tuple(figures), set())
        assert titles, f"{label}: no result file has {figures}"
        assert any(title.split(" (")[0].lower() in label.lower() for title in titles), (label, titles)


def test_every_row_of_the_readmes_second_table_is_a_result() -> None:
    files = {"MovieLens": "movies", "H&M": "hm", "Instruments": "instruments"}
    rows = [cells for cells in rows_of(between("multitask")) if cells[0] in files]
    assert len(rows) >= 12
    for name, task, metric, ours, reference, interval in rows:
        report = json.loads((ROOT / "results" / "multitask" / f"{files[name]}.json").read_text("utf-8"))
        section = report["tasks"][task]
        label, _, theirs = reference.rpartition(" ")
        other = section["references"][label]
        assert ours == f"{section['metrics'][metric]:.3f}"
        assert theirs == f"{other['metrics'][metric]:.3f}"
        if interval != "–":
            lead = other["lead"]
            assert interval == f"{lead['of']} {lead['low']:+.3f} to {lead['high']:+.3f}"


SECTIONS = {
    "H&M, the last week": ("hm", "fusion/hm"),
    "MovieLens latest-small": ("movies", "movies-last-five"),
    "Amazon Beauty": ("beauty", "fusion/beauty"),
    "New users": ("hm-new-users",),
    "A new domain": ("hm-new-domain", "hm-new-domain-alone"),
}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_row_of_docs_tables_is_a_result(section: str) -> None:
    (part,) = (part for part in TABLES.split("\n## ") if part.splitlines()[0] == section)
    known: dict[tuple[str, ...], set[str]] = {}
    for folder in SECTIONS[section]:
        known |= seed_means(results(folder))
    places: list[int] = []
    count = 0
    for cells in rows_of(part):
        if "NDCG@5" in cells:
            places = [cells.index(name) for name in SHOWN]
        elif places and re.match(r"[*.\d]", cells[1]):
            figures = tuple(short(float(re.sub(r"[^.\d]", "", cells[place]))) for place in places)
            assert figures in known, f"{section}: {cells[0]}: no result file has {figures}"
            count += 1
    assert count >= len(known)  # rows that share all figures are one key


@pytest.mark.parametrize(
    ("name", "words", "metric", "refitted"),
    [
        ("hm", r"UniMP adds \.(\d+) to the ranker", "NDCG@5", False),
        ("beauty", r"refitted, UniMP adds \.(\d+) NDCG@10", "NDCG@10", True),
    ],
)
def test_what_the_readme_says_unimp_adds_is_what_the_files_say(
    name: str, words: str, metric: str, refitted: bool
) -> None:
    learned = [entry for entry in results(f"fusion/{name}") if entry["fusion"]["kind"] == "learned"]
    ours = [
        entry["metrics"][metric]
        for entry in learned
        if entry["method"] == "unimp"
        and entry["config"]["recipe"] == f"small-{name}"  # what a teacher taught stands in a row of its own
        and "likeness" not in entry["config"]["settings"].get("model", {})  # likewise
        and entry["fusion"]["settings"].get("refit_method", False) == refitted
    ]
    (features,) = (entry["metrics"][metric] for entry in learned if entry["method"] == "features")
    said = re.search(words, README)
    assert said is not None
    assert float(f"0.{said[1]}") == pytest.approx(sum(ours) / len(ours) - features, abs=1e-4)


def interval(low: float, high: float, digits: int) -> tuple[str, str]:
    """As prose writes it: no zero before the point, no plus."""
    return bare(f"{low:.{digits}f}"), bare(f"{high:.{digits}f}")


def bare(number: str) -> str:
    return number.replace("−", "-").removeprefix("+").replace("0.", ".", 1)


def intervals_in(text: str) -> set[tuple[str, str]]:
    found = re.findall(r"([+−-]?\.\d{3,4}) to ([+−-]?\.\d{3,4})", text)
    return {(bare(low), bare(high)) for low, high in found}


def test_every_interval_in_the_readmes_words_is_computed_somewhere() -> None:
    (differences,) = (part for part in TABLES.split("\n## ") if part.startswith("Differences, user by user"))
    known = intervals_in(differences)
    assert len(known) > 15
    drawn = json.loads((ROOT / "results" / "drawings" / "hm-history.json").read_text("utf-8"))
    for columns in drawn["difference of 'history, planned' to"].values():
        known |= {interval(low, high, 3) for _, low, high in columns.values()}
    references = json.loads((ROOT / "results/explanations/instruments-references.json").read_text("utf-8"))
    known |= {interval(low, high, 4) for _, low, high in references["ROUGE-L of the run less"].values()}
    words = re.sub(r"(?s)<!-- (\w+) -->.*?<!-- /\1 -->", "", README)
    said = intervals_in(words)
    assert len(said) > 15
    assert not said - known
