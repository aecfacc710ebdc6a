"""The entry points: find the command, run it, turn whatever leaves it into one line and an exit code."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from parasync import __version__
from parasync.cli.command import Group
from parasync.cli.output import OutputError, print_error, print_summary_event
from parasync.errors import InterruptedSyncError, ParaSyncError, UsageError, interrupt_behind
from parasync.model import Report

if TYPE_CHECKING:
    from parasync.cli.early import Begun

TRACEBACK_VARIABLE = "PARASYNC_TRACEBACK"

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


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to end. A KeyboardInterrupt, so that no handler of errors holds it up."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)


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
    _prepare_streams()
    with _signals_raise():
        try:
            status = _invoke(command, name, words, begun)
            _flush()
        except BaseException as error:  # noqa: BLE001 - the one place where everything ends as a line and a code
            return _report(error)
    return status


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
            print_summary_event(Report(status=UsageError.code))
        raise UsageError(f'{error.format_message().rstrip(".")} (see "{context.command_path} --help")') from error


def _report(error: BaseException) -> int:
    """Say what ended the run, in one line; the exit code."""
    interrupt = interrupt_behind(error)
    if isinstance(error, ParaSyncError):
        known = error
    elif interrupt is not None:
        by = f" by {interrupt}" if isinstance(interrupt, Interrupted) else ""
        known = InterruptedSyncError(f"interrupted{by}: what was finished is kept, run again for the rest")
    else:
        known = ParaSyncError(
            f"unexpected {type(error).__name__}: {error}; run with {TRACEBACK_VARIABLE}=1 for details and report it"
        )
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        sys.excepthook(type(error), error, error.__traceback__)
    if isinstance(known, OutputError):
        _abandon_stdout()
    print_error(str(known))
    return known.exit_code


def _prepare_streams() -> None:
    """What an encoding lacks is printed escaped; a stream the caller closed leads nowhere.

    Python makes a closed stream None, and the next file opened would get its number, and what is meant for it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputError.of(error) from error


def _abandon_stdout() -> None:
    """Nobody reads stdout any more: what is still buffered must not fail again when the interpreter exits."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Within, SIGINT, SIGTERM and SIGHUP raise `Interrupted` in the main thread, unless they are ignored (nohup).

    Only the first does, so that a second one cannot cut the clean-up short; Ctrl-C then ends the process at once.
    """

    def interrupt(signum: int, frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_DFL if one == signal.SIGINT else signal.SIG_IGN)
        raise Interrupted(signum)

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.getsignal(one) for one in wanted if signal.getsignal(one) != signal.SIG_IGN}
    for one in before:
        signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
