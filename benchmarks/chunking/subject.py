"""What is measured: a chunker that can be run, on what, and what came out of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    """Chunks of one run and how many of their ends were forced at the maximum; None where it is not known.

    `inner` are the seconds a program reports of itself, without its start.
    """

    chunks: int | None = None
    forced: int | None = None
    inner: float | None = None


class Input(NamedTuple):
    """One input: its name in the results, its bytes, and a file in memory that holds the same."""

    name: str
    data: bytes
    path: Path


class Subject(NamedTuple):
    """A chunker. `includes` tells what a run does besides finding cuts.

    `group` is "parasync" or "peer" in this process, "command" for a process of its own, "limit" for what no chunker is.
    """

    name: str
    group: str
    includes: str
    threads: int
    run: Callable[[Input], Outcome]
