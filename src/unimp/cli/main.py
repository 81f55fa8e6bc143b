"""`unimp`: the command line. A user's mistake is one line on standard error and exit status 2."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import typer

from unimp import __version__
from unimp.core.errors import UnimpError

app = typer.Typer(
    name="unimp",
    help="One generative vision-language model for every personal need in a catalogue.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]
"""typer's own or click's UsageError, whichever this version of typer is built on."""

COMMANDS = (
    "demo",
    "data",
    "train",
    "evaluate",
    "recommend",
    "search",
    "rate",
    "select",
    "imagine",
    "recipe",
    "bench",
    "serve",
    "batch",
)
"""One module of this room each: `register(app)` adds its command or group."""


@app.callback(invoke_without_command=True)
def root(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True),
) -> None:
    """One generative vision-language model for every personal need in a catalogue."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


for command in COMMANDS:
    importlib.import_module(f"unimp.cli.{command}").register(app)


def main() -> None:
    """Entry point: runs the command, turns user errors into one line and status 2."""
    try:
        status = app(standalone_mode=False)
    except UnimpError as error:
        fail(str(error))
    except USAGE_ERROR as error:
        context = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        fail(error.format_message() + context)
    except (typer.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:  # a full disk, a folder without permission: the user's to mend as well
        fail(f"{error.filename or 'file system'}: {error.strerror or error}")
    sys.exit(status if isinstance(status, int) else 0)


def fail(message: str) -> None:
    """One line on standard error, exit status 2; with --debug the traceback as well."""
    if "--debug" in sys.argv:
        import traceback

        traceback.print_exc()
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
