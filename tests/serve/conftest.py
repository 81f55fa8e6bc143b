"""Stores to test against: SQLite always; PostgreSQL, started here on loopback, where its programs exist."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgresql import PostgreSQL, postgresql_programs, running_postgresql
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
