"""The programs `parasync`, `python -m parasync` and `psync`: what only a process of its own does to itself."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""Starting makes some ten thousand objects that stay, and no garbage. With the default of 700 the collector looks at
them again and again: 4 of 100 ms."""


def run() -> NoReturn:
    """The program `parasync`."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    from parasync.cli import main  # noqa: PLC0415 - after the collector was told

    _leave(main)


def run_sync() -> NoReturn:
    """The program `psync`."""
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    from parasync.cli import main_sync  # noqa: PLC0415

    _leave(main_sync)


def _leave(main: Callable[[], int]) -> NoReturn:
    """End with the code of `main`, at once: its threads and children are gone, its files written.

    Python would take apart every module first, which takes 13 ms.
    """
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # `main` has reported it
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
