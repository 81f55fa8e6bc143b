"""Stores to test against (SQLite always; PostgreSQL, started here on loopback, where its programs exist), and
a service on a small shop with random weights."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.postgresql import PostgreSQL, postgresql_programs, running_postgresql
from tests.serve.site import MakeSite, Site
from tests.six import Six
from unimp.personalizer import Personalizer
from unimp.runs.open_run import TrainedRun
from unimp.serve.app import create_app
from unimp.serve.server import listen, server_config
from unimp.serve.settings import ServeSettings
from unimp.serve.store.store import Store


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    programs = postgresql_programs()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL's programs are absent, and CI must run the tests that need them")
        pytest.skip("needs PostgreSQL's initdb and pg_ctl (Debian: apt-get install postgresql)")
    with running_postgresql(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.url


@pytest.fixture
def open_store(store_url: str) -> Iterator[Callable[[], Store]]:
    """Opens the same, at first empty, store as often as wanted."""
    opened: list[Store] = []

    def open_one() -> Store:
        opened.append(Store.open(store_url))
        return opened[-1]

    wipe(open_one())
    yield open_one
    for store in opened:
        store.close()


def wipe(store: Store) -> None:
    from unimp.serve.store.tables import metadata

    with store.engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())


@pytest.fixture(scope="session")
def personalizer(six: Six) -> Personalizer:
    run = TrainedRun(Path("run"), {}, {}, six.artifacts, six.model(), {}, six.dataset)
    return Personalizer(run, run.answerer)


@pytest.fixture
def make_site(personalizer: Personalizer, tmp_path: Path) -> Iterator[MakeSite]:
    """Sites on the same store, with settings of their own."""
    sites: list[Site] = []

    def make(url: str | None = None, **settings: Any) -> Site:
        chosen = ServeSettings(
            **{"keys": False, "requests_per_second": 0.0, "sync_seconds": 3600.0, **settings}
        )
        store = Store.open(url or f"sqlite:///{tmp_path / 'store.db'}")
        sites.append(Site(create_app(personalizer, store, chosen)))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()


@contextmanager
def running(personalizer: Personalizer, url: str, **settings: Any) -> Iterator[int]:
    """The port of a server of its own, as `unimp serve` starts it."""
    chosen = ServeSettings(**{"keys": False, "requests_per_second": 0, **settings})
    app = create_app(personalizer, Store.open(url), chosen)
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(server_config(app, chosen))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address(personalizer: Personalizer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a free port of loopback."""
    folder = tmp_path_factory.mktemp("browser")
    with running(personalizer, f"sqlite:///{folder / 'store.db'}") as port:
        yield f"http://127.0.0.1:{port}"
