"""All phases of each structure, one after the other and timed apart (figures 3, 5, 18, 19 and 20, table 1).

The sides chunk in turns, so that each has the machine's cores to itself, as it would on a host of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.paper.baselines.structure import STRUCTURES
from benchmarks.paper.experiments.lab import Baseline, transfers
from benchmarks.paper.plan import Plan
from benchmarks.paper.rows import Row


def measure(plan: Plan) -> Iterator[Row]:
    tools = {name: partial(Baseline, one, plan.threads, turns=True) for name, one in STRUCTURES.items()}
    return transfers(plan, plan.sets, tools)
