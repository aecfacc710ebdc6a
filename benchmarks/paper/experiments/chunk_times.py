"""Phase I by threads and stage (figures 16 and 17): each structure on each target, in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256

from benchmarks.chunking.ours import chunk_in_memory
from benchmarks.errors import BenchmarkError
from benchmarks.measure import cpu_seconds, interleaved
from benchmarks.paper.baselines.chunking import Chunked, Chunker, dsync, overlapped, parasync, pdsync, pdsync_weak
from benchmarks.paper.baselines.memory import Memory, mapped
from benchmarks.paper.plan import Plan, say
from benchmarks.paper.rows import Row

DEFAULT = "default"
Values = dict[str, float]


def measure(plan: Plan) -> Iterator[Row]:
    """All chunkers on one target after the other, interleaved, after one run of each that does not count."""
    for name in plan.sets:
        with mapped(plan.target(name)) as memory:
            memory.populate()
            same = _Same(name)
            actions = {
                (subject, threads): partial(_timed, run, memory, threads, same)
                for subject, run, counts in _subjects(plan.threads)
                for threads in counts
            }
            interleaved(actions, 1, plan.lock)
            for (subject, threads), runs in interleaved(actions, plan.rounds, plan.lock).items():
                for repetition, values in enumerate(runs):
                    yield Row(dataset=name, subject=subject, threads=threads, repetition=repetition, values=values)
                rate = memory.size / min(values["seconds"] for values in runs) / 1e9
                say(f"chunking   {name:12} {subject:10} {threads} threads {rate:6.2f} GB/s")


def _subjects(threads: int) -> Iterator[tuple[str, Chunker | None, range]]:
    every = range(1, threads + 1)
    yield "dsync", dsync, range(1, 2)
    yield "pdsync", pdsync, every
    yield "pdsync, weak alone", pdsync_weak, every
    yield "parasync", parasync, every
    yield "overlapped", overlapped, every
    yield DEFAULT, None, every


class _Same:
    """All structures must find the same chunks: a benchmark of wrong results is none."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._digest = b""

    def __call__(self, found: Chunked) -> None:
        digest = sha256(memoryview(found.lengths).cast("B"))
        digest.update(memoryview(found.weak).cast("B"))
        self._digest = self._digest or digest.digest()
        if digest.digest() != self._digest:
            raise BenchmarkError(f"{self._name}: two structures found different chunks")


def _timed(chunker: Chunker | None, memory: Memory, threads: int, same: Callable[[Chunked], None]) -> Values:
    """Wall seconds, in all and by stage, and CPU seconds."""
    cpu, start = cpu_seconds(), time.perf_counter()
    if chunker is None:
        chunk_in_memory(memory.view, threads)
        return {"seconds": time.perf_counter() - start, "cpu": cpu_seconds() - cpu, "bytes": memory.size}
    found = chunker(memory, threads)
    used = cpu_seconds() - cpu
    same(found)
    values = {"seconds": found.stage1 + found.stage2, "cpu": used, "bytes": memory.size}
    # Stages that overlap cannot be told apart.
    return values | ({"stage1": found.stage1, "stage2": found.stage2} if found.stage2 else {})
