"""What each departure from the paper is worth: the default with one of them taken back, and the paper's mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.lab.tools import ParaSync, Tool
from benchmarks.paper.experiments.endtoend import PAPER_MODE, PLAIN
from benchmarks.paper.experiments.lab import transfers
from benchmarks.paper.plan import Plan
from benchmarks.paper.rows import Row

VARIANTS: dict[str, tuple[str, ...]] = {
    "default": (),
    "weak and strong checksums, the sender plans": ("--matching", "weak-strong"),
    "the paper's cut rule": ("--chunking", "paper"),
    "no compression": (PLAIN,),
    "one connection": ("--streams", "1"),
    "one thread a side": ("--threads", "1"),
    "chunks of 4 KiB": ("--average", "4096"),
    "chunks of 8 KiB": ("--average", "8192"),
    "the paper's mode, compressed": PAPER_MODE,
    "the paper's mode": (*PAPER_MODE, PLAIN),
}
"""Options of the product. That the receiver plans is not a switch of its own: it can, because the fingerprint needs no
second exchange."""
SETS = ("source", "db")
"""Sources and a database, unless sets are named: there are many variants."""


def measure(plan: Plan) -> Iterator[Row]:
    sets = [name for name in plan.sets if plan.named or name in SETS] or plan.sets
    tools: dict[str, Callable[[], Tool]] = {
        name: partial(_tool, options, plan.threads) for name, options in VARIANTS.items()
    }
    return transfers(plan, sets, tools)


def _tool(options: tuple[str, ...], threads: int) -> Tool:
    return ParaSync(*(("--threads", str(threads)) if "--threads" not in options else ()), *options)
