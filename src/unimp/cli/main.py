"""`unimp`: the command line. A user's mistake is one line on standard error and exit status 2."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from unimp import __version__
from unimp.core.exits import fail, one_line_errors

COMMANDS = ("demo", "data", "train", "evaluate", "recipe", "bench", "serve", "batch")
"""One module of this room each: `register(app)` adds its command or group."""
BEFORE_TASKS = "evaluate"
"""The help lists the tasks' commands after this one."""


class CommandGroup(TyperGroup):
    """Our own commands, and one for every task, made when it is called or listed."""

    def list_commands(self, ctx: Any) -> list[str]:
        from unimp.tasks import TASKS

        own = super().list_commands(ctx)
        for line in TASKS.broken.values():
            print(f"warning: {line}", file=sys.stderr)
        tasks = [task.command for task in TASKS.values() if task.command not in own]
        place = own.index(BEFORE_TASKS) + 1
        return [*own[:place], *tasks, *own[place:]]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or make_task_command(cmd_name)


def make_task_command(name: str) -> Any:
    """The command of the task that goes by this name; None where no task does."""
    from unimp.tasks import commands

    task = dict(reversed(list(commands()))).get(name)
    if task is None:
        return None
    from unimp.cli.tasks import task_command

    single = typer.Typer(add_completion=False)
    single.command(name)(task_command(task))
    return typer.main.get_command(single)


app = typer.Typer(
    name="unimp",
    cls=CommandGroup,
    help="One generative vision-language model for every personal need in a catalogue.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]
"""typer's own or click's UsageError, whichever this version of typer is built on."""


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
    with one_line_errors():
        try:
            status = app(standalone_mode=False)
        except USAGE_ERROR as error:
            context = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
            fail(error.format_message() + context)
        except (typer.Abort, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
