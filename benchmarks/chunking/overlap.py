"""Phase I over threads as the product does it: segments in file order, merged while later ones are scanned."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from parasync.config import SEGMENT_BYTES
from parasync.kernels import Merger, Segment


def merge_while_scanning(
    scan: Callable[[Segment, int], Segment], merger: Merger, size: int, threads: int, segment_bytes: int = SEGMENT_BYTES
) -> None:
    """`threads`, of which the caller is one, scan the segments of `size` bytes; who can, merges what is next.

    Each has a core of its own: what is measured takes some 20 ms, which is less than the system sometimes needs to see
    that one core has two threads and the other none.
    """
    work = _Work(scan, merger, size, segment_bytes)
    with ThreadPoolExecutor(max(threads - 1, 1)) as pool:
        others = [pool.submit(work.run, number) for number in range(1, threads)]
        work.run(0)
        for other in others:
            other.result()


@contextmanager
def _on_core(number: int) -> Iterator[None]:
    """Keep this thread on one of the cores that it may use."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[number % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class _Work:
    def __init__(self, scan: Callable[[Segment, int], Segment], merger: Merger, size: int, segment_bytes: int) -> None:
        self._scan = scan
        self._merger = merger
        self._offsets = iter(range(0, size, segment_bytes))
        self._segment_bytes = segment_bytes
        self._free: list[Segment] = []
        self._scanned: dict[int, Segment] = {}
        self._next = 0
        self._merging = False
        self._lock = threading.Lock()

    def run(self, number: int) -> None:
        with _on_core(number):
            self._run()

    def _run(self) -> None:
        while (offset := next(self._offsets, None)) is not None:
            segment = self._scan(self._free_segment(), offset)
            with self._lock:
                self._scanned[offset] = segment
                if self._merging:
                    continue
                self._merging = True
            while (ready := self._ready()) is not None:
                self._merger.merge(ready)
                self._free.append(ready)

    def _free_segment(self) -> Segment:
        with self._lock:
            return self._free.pop() if self._free else Segment(self._segment_bytes)

    def _ready(self) -> Segment | None:
        with self._lock:
            ready = self._scanned.pop(self._next, None)
            self._merging = ready is not None
            if ready is not None:
                self._next += self._segment_bytes
            return ready
