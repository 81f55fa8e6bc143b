"""`RunLock`: one trainer per run folder; who holds it is written there."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from unimp.core.errors import CheckpointError

LOCK = "train.lock"


class RunHeldError(CheckpointError):
    """Another process trains into the folder."""


class RunLock:
    """Held while a process trains into a folder; the system lets go of it when that process dies.

    The file names the holder for people. Where the file system cannot lock, the process named there is
    looked up instead, on this host alone.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self.file: Any = None

    def __enter__(self) -> RunLock:
        """RunHeldError when another process trains there."""
        while self.file is None:
            file = self.path.open("a+")
            try:
                self._take(file)
            except BaseException:
                file.close()
                raise
            if os.path.exists(self.path) and os.fstat(file.fileno()).st_ino == self.path.stat().st_ino:
                self.file = file
            else:
                file.close()  # its holder has just finished and removed it: take the next one
        self.file.truncate(0)
        self.file.write(json.dumps(here()) + "\n")
        self.file.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.path.unlink(missing_ok=True)
        self.file.close()
        self.file = None

    def _take(self, file: Any) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._held(file) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                raise
            holder = holder_of(file)
            if holder.get("host") == here()["host"] and is_running(holder.get("pid")):
                raise self._held(file) from None

    def _held(self, file: Any) -> RunHeldError:
        holder = holder_of(file)
        who = "process {pid} on {host}, since {since},".format(
            **{"pid": "?", "host": "?", "since": "?"} | holder
        )
        return RunHeldError(
            f"{self.path.parent}: {who} is training there; wait for it, end it, or choose another --out"
        )


def here() -> dict[str, Any]:
    """What other people need to find this process."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def holder_of(file: Any) -> dict[str, Any]:
    """What the file says; empty when its holder has not written yet."""
    file.seek(0)
    try:
        found = json.loads(file.read())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_running(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0 or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
