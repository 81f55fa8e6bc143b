"""A PostgreSQL server of our own in a temporary folder, for tests and for `benchmarks/faults/crashes.py`."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class PostgreSQL:
    """Reached on loopback without a password."""

    programs: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self.run(
            "pg_ctl", "-w", "-D", self.folder / "data", "-l", self.folder / "log", "-o", options, "start"
        )

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """`immediate` is as a crash: the next start recovers from the log."""
        self.run("pg_ctl", "-w", "-D", self.folder / "data", "-m", mode, "stop")

    def run(self, program: str, *arguments: object) -> None:
        """As the user postgres when we are root: the server refuses to run as root."""
        user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        command = [str(self.programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL, **user)  # type: ignore[call-overload]


def postgresql_programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the path, or where Debian puts them."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates = [*folders, *([Path(found).resolve().parent] if found else [])]
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


@contextmanager
def running_postgresql(programs: Path) -> Iterator[PostgreSQL]:
    """Made, started, and at the end stopped and removed."""
    folder = Path(tempfile.mkdtemp(prefix="unimp-postgresql-"))
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = PostgreSQL(programs, folder, port)
    try:
        server.run("initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8")
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
