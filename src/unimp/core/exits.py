"""How a program ends on an error that its user can mend: one line on standard error, exit status 2."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from unimp.core.errors import UnimpError


def fail(message: str) -> NoReturn:
    """One line on standard error, exit status 2; with --debug the traceback as well."""
    if "--debug" in sys.argv:
        traceback.print_exc()
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What is the user's to mend ends the program by `fail`, a full disk or a missing file included."""
    try:
        yield
    except UnimpError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or 'file system'}: {error.strerror or error}")
