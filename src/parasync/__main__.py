"""The programs `parasync`, `python -m parasync` and `psync`: what only a process of its own does to itself."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from parasync.cli.early import Begun

OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""Starting makes some ten thousand objects that stay, and no garbage. With the default of 700 the collector looks at
them again and again: 4 of 100 ms."""


SWITCH_SECONDS = 0.0005
"""How long a thread that is back from a system call waits for the interpreter while another one computes. With the
default of 5 ms a local sync of 14,535 small files took 3.7 s, with this 2.5 s (two cores)."""


def run() -> NoReturn:
    """The program `parasync`."""
    _prepare()
    if sys.argv[1:] == ["serve", "--stdio"]:
        from parasync.cli import stdio  # noqa: PLC0415 - each way loads what it needs

        _leave(stdio.main())
    begun = _begin(sys.argv[2:]) if sys.argv[1:2] == ["sync"] else None
    from parasync.cli.main import main  # noqa: PLC0415 - what was begun goes on meanwhile

    code = main(begun=begun)
    if begun is not None:
        begun.close()
    _leave(code)


def run_sync() -> NoReturn:
    """The program `psync`."""
    _prepare()
    begun = _begin(sys.argv[1:])
    from parasync.cli.main import main_sync  # noqa: PLC0415

    code = main_sync(begun=begun)
    begun.close()
    _leave(code)


def _begin(words: list[str]) -> Begun:
    from parasync.cli import early  # noqa: PLC0415 - other commands need none of it

    return early.begin(words)


def _prepare() -> None:
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    sys.setswitchinterval(SWITCH_SECONDS)


def _leave(code: int) -> NoReturn:
    """End with this code, at once: threads and children are gone or of no use, files written.

    Python would take apart every module first, which takes 13 ms.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # `main` has reported it
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
