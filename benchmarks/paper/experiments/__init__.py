"""The experiments: each is one function from a plan to rows. `ALL` has them in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.paper.plan import Plan
from benchmarks.paper.rows import Row

Measure = Callable[[Plan], Iterator[Row]]


class Entry(NamedTuple):
    """An experiment: what it measures for which figures, the module that has its `measure`, whether it needs root."""

    title: str
    module: str
    network: bool


ALL = {
    "skew": Entry("chunks per weak checksum (Fig. 10)", "skew", False),
    "slices": Entry("one weak checksum of 120,000 chunks, by checksum and by slice (section 3.2)", "slices", False),
    "chunking": Entry("Phase I by threads and stage (Fig. 16, 17)", "chunk_times", False),
    "phases": Entry("all phases apart, of dsync, pdsync and ParaSync (Fig. 3, 5, 18, 19, 20, Table 1)", "phases", True),
    "endtoend": Entry("whole syncs: time, traffic, memory, CPU (Fig. 21, 22)", "endtoend", True),
    "ablation": Entry("this project's departures from the paper, one at a time", "ablation", True),
}
