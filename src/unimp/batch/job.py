"""`BatchJob`: a batch in its folder: what decides the answers, the parts, the files that are done."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from unimp.batch.answers import BatchAnswers
from unimp.batch.lines import PLACE, USER
from unimp.core.errors import ConfigError
from unimp.core.files import atomic_write
from unimp.personalizer import load

MANIFEST, REQUESTS = "batch.json", "requests"


@dataclass(frozen=True)
class BatchJob:
    """Everything that a worker on another machine needs; the folders are on storage that all mount."""

    run: Path
    data: Path | None
    device: str
    task: str
    options: Mapping[str, Any]
    """Fields that all requests share."""
    out: Path

    def open(self) -> BatchAnswers:
        """The model, ready to answer."""
        personalizer = load(self.run, data=self.data, device=self.device)
        return BatchAnswers(personalizer, personalizer.answerer.task_named(self.task), self.options)

    def target(self, part: int) -> Path:
        """The file of a part's answers; one that is there is whole."""
        return self.out / f"part-{part:05}.parquet"

    def requests(self, part: int) -> Path:
        """The file of a part's lines, for workers."""
        return self.out / REQUESTS / f"part-{part:05}.parquet"

    def unfinished(self, parts: Sequence[pl.DataFrame]) -> list[int]:
        """The parts with lines whose answers are not there yet."""
        return [
            number for number, part in enumerate(parts) if part.height and not self.target(number).exists()
        ]

    def finish(self, work: BatchAnswers, part: int, table: pl.DataFrame) -> None:
        """Answer the lines of a part and write them, under another name first."""
        answers = work.answer(table)
        with atomic_write(self.target(part)) as temporary:
            answers.write_parquet(temporary, compression="zstd")


def consecutive_parts(table: pl.DataFrame, lines: int) -> list[pl.DataFrame]:
    """Parts of so many lines each, in the order of the file."""
    return [table.slice(start, lines) for start in range(0, table.height, lines)]


def parts_by_user(table: pl.DataFrame, parts: int) -> list[pl.DataFrame]:
    """Every line in the part that a hash of its user says, the same on any machine; a part may be empty."""
    codes = [zlib.crc32(user.encode()) % parts for user in table[USER].fill_null("").to_list()]
    coded = table.with_columns(pl.Series("part", codes, dtype=pl.UInt32))
    found = {part["part"][0]: part.drop("part") for part in coded.partition_by("part", maintain_order=True)}
    return [found.get(part, table.clear()) for part in range(parts)]


def placed(table: pl.DataFrame) -> pl.DataFrame:
    """The lines with their places in the whole batch."""
    return table.with_columns(pl.int_range(pl.len()).alias(PLACE))


def claim(out: Path, facts: dict[str, Any]) -> None:
    """Mark the folder; ConfigError when it holds answers to something else."""
    path = out / MANIFEST
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"{out}: exists and is not a batch folder; choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n")
        return
    before = json.loads(path.read_text())
    for name, value in facts.items():
        if before.get(name) != value:
            raise ConfigError(
                f"{out}: holds answers with another {name} ({before.get(name)}, now {value}); "
                "choose another --out"
            )
