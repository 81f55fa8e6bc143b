"""A server with settings that are of use for measurements alone, for `serving.py`.

serve_variant.py RUN --store URL --port PORT --settings '{"batch": 1}' [--rebuild-table]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from unimp.core.compute import set_threads
from unimp.personalizer import Personalizer, load
from unimp.serve.app import create_app
from unimp.serve.server import listen, serve_app
from unimp.serve.service import Service
from unimp.serve.settings import ServeSettings
from unimp.serve.store.store import Store

LOOPBACK = "127.0.0.1"


def rebuild_table(service: Service, trained: Personalizer) -> None:
    """Compute every item's vector before each call of the model, as a service that keeps nothing must."""

    def rebuilt(answer: Callable[[Sequence[Any]], Sequence[Any]]) -> Callable[[Sequence[Any]], Sequence[Any]]:
        def answer_after_rebuilding(requests: Sequence[Any]) -> Sequence[Any]:
            with torch.inference_mode():
                trained.run.model.item_state(trained.run.artifacts.items)
            return answer(requests)

        return answer_after_rebuilding

    for queue in service.worker.queues:
        object.__setattr__(queue, "answer", rebuilt(queue.answer))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--store", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--rebuild-table", action="store_true")
    arguments = parser.parse_args()
    set_threads(1)
    trained = load(arguments.run)
    settings = ServeSettings(**{"keys": False, "requests_per_second": 0.0, **arguments.settings})
    app = create_app(trained, Store.open(arguments.store), settings)
    if arguments.rebuild_table:
        rebuild_table(app.state.service, trained)
    serve_app(app, settings, listen(LOOPBACK, arguments.port))


if __name__ == "__main__":
    main()
