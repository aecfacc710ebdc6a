"""Whole syncs (figures 21 and 22, memory, CPU): the baselines, the product in the paper's mode and its own, rsync."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.lab.tools import ParaSync, Rsync, Tool
from benchmarks.paper.baselines.structure import DSYNC, PDSYNC
from benchmarks.paper.experiments.lab import Baseline, transfers
from benchmarks.paper.plan import Plan
from benchmarks.paper.rows import Row

PAPER_MODE = ("--chunking", "paper", "--matching", "weak-strong", "--streams", "1")
"""The product's options for the paper's exchange and cut rule, over one connection as the baselines have it."""
PLAIN = "--no-compress"
"""The paper compresses nothing."""


def measure(plan: Plan) -> Iterator[Row]:
    threads = ("--threads", str(plan.threads))
    tools: dict[str, Callable[[], Tool]] = {
        "dsync": partial(Baseline, DSYNC, plan.threads, turns=False),
        "pdsync": partial(Baseline, PDSYNC, plan.threads, turns=False),
        "parasync": lambda: ParaSync(*PAPER_MODE, PLAIN, *threads),
        "default": lambda: ParaSync(*threads),
        "rsync": Rsync,
    }
    return transfers(plan, plan.sets, tools)
