"""UniMP: one generative vision-language model for every personal need in a catalogue.

`import unimp` stays light: torch is imported by the first call that needs it. Before that, it sets
`OMP_WAIT_POLICY=PASSIVE` unless the environment has a value: OpenMP's threads spin while they wait, and
beside another busy process a small network's steps become many times slower
(`benchmarks/speed/busy.py`). OpenMP reads it when torch is loaded: a program that imports torch before unimp
has to set it itself.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from unimp.core.errors import CheckpointError, ConfigError, DataError, MissingExtra, UnimpError

if TYPE_CHECKING:
    from unimp.data.frames import import_tables
    from unimp.personalizer import Personalizer, load

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "MissingExtra",
    "Personalizer",
    "UnimpError",
    "__version__",
    "import_tables",
    "load",
]


def __getattr__(name: str) -> Any:
    if name in {"load", "Personalizer"}:
        from unimp import personalizer

        return getattr(personalizer, name)
    if name == "import_tables":
        from unimp.data.frames import import_tables

        return import_tables
    raise AttributeError(f"module 'unimp' has no attribute {name!r}")
