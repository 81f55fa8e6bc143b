"""UniMP: one generative vision-language model for every personal need in a catalogue.

`import unimp` stays light: torch is imported by the first call that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unimp.core.errors import CheckpointError, ConfigError, DataError, MissingExtra, UnimpError

if TYPE_CHECKING:
    from unimp.data.frames import import_tables
    from unimp.personalizer import Personalizer, load

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
