"""The command line as tests call it, and what they expect of everything it prints."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from parasync.cli.main import main
from parasync.model import Totals

COMMAND = [sys.executable, "-m", "parasync"]
SUMMARY_KEYS = ["event", "status", *asdict(Totals()), "seconds"]


def call(*args: str | Path, entry: Callable[..., int] = main) -> tuple[int, str, str]:
    """Run the command in this process: (exit code, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = entry([os.fspath(one) for one in args])
    return code, out.getvalue(), err.getvalue()


def one_error(text: str) -> str:
    """The only line on stderr, without its prefix."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("parasync: ")
    return lines[0].removeprefix("parasync: ")


def read_terminal(leader: int) -> bytes:
    """What was written to a pseudo-terminal and not read yet, after its other side was closed; closes it.

    The kernel passes it on piece by piece, so that one read may find only the first.
    """
    shown = b""
    with open(leader, "rb", buffering=0) as file, suppress(OSError):  # EIO is the end
        while piece := file.read(4096):
            shown += piece
    return shown


def events(text: str) -> list[dict[str, Any]]:
    """The objects of --json, one a line."""
    return [json.loads(line) for line in text.splitlines()]
