"""Work in parts by Ray Data: actors that take parts, and report what went wrong as a value, in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from unimp.core.errors import ConfigError, UnimpError
from unimp.scale.cluster import node, other_version, watched


def problem_of(work: Callable[[], object], packages: dict[str, str], target: Path) -> str:
    """Do the work here; "", or what went wrong, with this machine's name. `target`: the file it writes."""
    try:
        problem = other_version(packages)
        if problem is None:
            work()
        return "" if problem is None else f"worker on {node()} {problem}"
    except UnimpError as error:
        return f"worker on {node()}: {error}"
    except OSError as error:
        return f"worker on {node()}: {error.filename or target}: {error.strerror or error}"


def done_parts(
    ray: Any, worker: type[Any], arguments: tuple[Any, ...], parts: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """A row for each part as it is finished: `part`, `problem` and what else the worker says of it.

    `worker`: a class that takes `arguments` and is called with a batch of one `part`; one for each core. A
    part whose machine is lost goes to another one. ConfigError with the first problem.
    """
    data = import_module("ray.data")
    data.DataContext.get_current().enable_progress_bars = False
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    dataset = data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts))
    done = dataset.map_batches(
        worker,
        fn_constructor_args=arguments,
        batch_size=1,
        num_cpus=1,
        concurrency=(1, min(workers, len(parts))),
    )
    for row in watched(ray, done.iter_rows()):
        if row["problem"]:
            raise ConfigError(row["problem"])
        yield row
