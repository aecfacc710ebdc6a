"""Single lines on the standard streams, and what it means when nobody takes them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import ClassVar

from parasync.errors import ParaSyncError, display


class OutputError(ParaSyncError):
    """What was to be printed could not be written; rsync calls it an error in program diagnostics."""

    exit_code: ClassVar[int] = 13
    code: ClassVar[str] = "output"

    @classmethod
    def of(cls, error: OSError) -> OutputError:
        return cls(
            f"cannot write to standard output: {os.strerror(error.errno or 0)}; keep its reader running, or redirect it"
        )


def print_line(text: str) -> None:
    """One line on stdout, at once.

    Raises:
        OutputError: nobody takes it.
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as error:
        raise OutputError.of(error) from error


def print_json(value: object) -> None:
    """`value` as one line of ASCII JSON on stdout. Raises like `print_line`."""
    import json  # noqa: PLC0415 - not for a run that prints for people

    print_line(json.dumps(value, separators=(",", ":")))


def error_line(text: str) -> str:
    """An error as it is shown: prefixed, one line, control characters escaped."""
    return f"parasync: {display(text)}"


def print_error(text: str) -> None:
    """One error on stderr; when even that is gone, the exit code has to do."""
    with suppress(OSError):
        sys.stderr.write(error_line(text) + "\n")
        sys.stderr.flush()
