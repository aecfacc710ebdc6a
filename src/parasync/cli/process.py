"""What surrounds every command: its streams, signals, and how it ends, in one line and an exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from parasync.cli.lines import OutputError, print_error
from parasync.errors import InterruptedSyncError, ParaSyncError, interrupt_behind

TRACEBACK_VARIABLE = "PARASYNC_TRACEBACK"


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to end. A KeyboardInterrupt, so that no handler of errors holds it up."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)


def run_command(command: Callable[[], int]) -> int:
    """Run what a process is for, and say what ended it early; the exit code."""
    _prepare_streams()
    with _signals_raise():
        try:
            status = command()
            _flush()
        except BaseException as error:  # noqa: BLE001 - the one place where everything ends as a line and a code
            return _report(error)
    return status


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
