"""The entry points: find the command that the words name, and run it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from parasync import __version__
from parasync.cli.command import Group
from parasync.cli.process import run_command
from parasync.errors import UsageError

if TYPE_CHECKING:
    from parasync.cli.early import Begun

EPILOG = """\b
Examples:
  parasync serve --listen 127.0.0.1:8740 --module backup=/srv/backup
  parasync sync photos/ parasync://127.0.0.1/backup/photos
  parasync sync parasync://127.0.0.1/backup/photos/ restored
  parasync sync disk.img /mnt/usb/disk.img

Exit codes are rsync's: 0 done, 1 usage, 3 source or destination, 5 refused by the server, 10 connection lost,
11 file system, 12 protocol or internal error, 20 interrupted, 23 some files failed, 24 some files vanished,
30 and 35 deadline passed.
"""


class Commands(Group):
    """The commands, each loaded from its own module when it is named: help and errors import only what they show."""

    modules = ("sync", "serve", "chunk", "doctor")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return load_command(cmd_name) if cmd_name in self.modules else None


def load_command(name: str) -> click.Command:
    command: click.Command = importlib.import_module(f"parasync.cli.{name}").command
    return command


@click.command("parasync", cls=Commands, epilog=EPILOG, context_settings={"max_content_width": 112})
@click.version_option(__version__, prog_name="parasync", message="%(prog)s %(version)s")
def group() -> None:
    """Parallel delta synchronisation of files and trees: rsync's semantics, all cores, fewer bytes."""


def main(args: Sequence[str] | None = None, begun: Begun | None = None) -> int:
    """The command `parasync`; returns its exit code. A sync takes over what was `begun`."""
    return _run(group, "parasync", args, begun)


def main_sync(args: Sequence[str] | None = None, begun: Begun | None = None) -> int:
    """The command `psync`, which is `parasync sync`; returns its exit code."""
    return _run(load_command("sync"), "psync", args, begun)


def _run(command: click.Command, name: str, args: Sequence[str] | None, begun: Begun | None = None) -> int:
    words = list(sys.argv[1:] if args is None else args)
    return run_command(lambda: _invoke(command, name, words, begun))


def _invoke(command: click.Command, name: str, words: list[str], begun: Begun | None) -> int:
    """Run `command` without click's own handling of interrupts and errors, whose exit codes are not rsync's."""
    if not words:
        with command.make_context(name, [], resilient_parsing=True) as context:
            click.echo(command.get_help(context), err=True)
        return UsageError.exit_code
    try:
        with command.make_context(name, list(words), obj=begun) as context:
            return command.invoke(context) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        context = (
            error.ctx if isinstance(error, click.UsageError) and error.ctx else click.Context(command, info_name=name)
        )
        if context.command.name == "sync" and "--json" in words:
            from parasync.cli.output import print_summary_event  # noqa: PLC0415
            from parasync.model import Report  # noqa: PLC0415

            print_summary_event(Report(status=UsageError.code))
        raise UsageError(f'{error.format_message().rstrip(".")} (see "{context.command_path} --help")') from error
