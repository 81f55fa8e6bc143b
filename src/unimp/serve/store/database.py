"""Engines: SQLite in WAL mode, fully synchronised, or PostgreSQL; and the migrations of their tables."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url

from unimp.core.errors import ConfigError, MissingExtra

WAIT_SECONDS = 5
"""How long a request waits for a connection, a lock or a statement before the store counts as away."""
POOL = 8
MIGRATIONS = Path(__file__).parent / "migrations"


def make_engine(text: str, *, create: bool = True) -> Engine:
    """SQLite or PostgreSQL; ConfigError for anything else."""
    try:
        url = make_url(text)
    except sa.exc.ArgumentError:
        raise ConfigError(
            "--store: not a database URL; expected sqlite:///FILE or postgresql+psycopg://…"
        ) from None
    if url.drivername == "sqlite":
        return sqlite_engine(url, create=create)
    if url.drivername == "postgresql+psycopg":
        return postgresql_engine(url)
    raise ConfigError(f"--store: {url.drivername} is not known; expected sqlite or postgresql+psycopg")


def sqlite_engine(url: URL, *, create: bool) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("--store: a store in memory would lose events; name a file: sqlite:///FILE")
    if not Path(url.database).resolve().parent.is_dir():
        raise ConfigError(f"--store: {url.database}: its folder does not exist; make it first")
    if not create and not Path(url.database).exists():
        raise ConfigError(f"--store: {url.database}: no such file; check the path")
    if not Path(url.database).exists():
        print(f"store: {Path(url.database).resolve()} is new", file=sys.stderr, flush=True)
    os.close(os.open(url.database, os.O_RDWR | os.O_CREAT, 0o600))  # it holds what people did
    engine = sa.create_engine(
        url, pool_size=POOL, max_overflow=0, pool_timeout=WAIT_SECONDS, connect_args={"timeout": WAIT_SECONDS}
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for setting in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    return engine


def file_identity(engine: Engine) -> tuple[int, int] | None:
    """Device and number of the file that SQLite's path names now; (0, 0) when there is none, None without a
    file."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    try:
        found = os.stat(engine.url.database)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


def postgresql_engine(url: URL) -> Engine:
    arguments = {"connect_timeout": WAIT_SECONDS, "options": f"-c statement_timeout={WAIT_SECONDS}s"}
    try:
        return sa.create_engine(
            url,
            pool_size=POOL,
            max_overflow=0,
            pool_timeout=WAIT_SECONDS,
            pool_pre_ping=True,
            connect_args=arguments,
        )
    except ImportError:
        raise MissingExtra(
            "--store: PostgreSQL needs psycopg; install it with: pip install 'unimp[postgres]'"
        ) from None


def migrate(connection: Connection) -> None:
    """Bring the tables to the newest revision; two servers that start together do not collide."""
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(5101974)"))
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
