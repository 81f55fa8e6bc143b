"""`Demo`: what the demo made, for its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unimp.answer import Ranker
from unimp.data.histories import Split
from unimp.demo.comparison import TasteComparison
from unimp.demo.scoreboard import Scoreboard
from unimp.personalizer import Personalizer


@dataclass(frozen=True)
class Demo:
    """What the demo made: the trained run, the comparison, and where the report is."""

    personalizer: Personalizer
    ranker: Ranker
    """Its recommendations, with the fusion."""
    comparison: TasteComparison
    split: Split
    scoreboard: Scoreboard
    tastes: np.ndarray
    """[test cases] what decides each user's choice."""
    seconds: dict[str, float]
    report: Path
