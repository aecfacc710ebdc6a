"""Phase II as each structure does it, between two sides of a link (ParaSync 3.2, figures 18 and 19).

1. The sender sends each different weak checksum once.
2. The receiver finds its chunks that have one of them and answers with their strong checksums (tokens).
3. The sender compares; what is equal is a confirmed match.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks.paper.baselines.link import Frame, Kind, Link
from benchmarks.paper.baselines.structure import Structure
from benchmarks.paper.library import library

TOKEN_BYTES = 48
LIST_BATCH = 4096
"""Checksums that are sent at once by a streaming structure."""
SLICE = 1024
"""Chunks whose strong checksums are one unit of its work."""
NONE = (1 << 64) - 1

Times = dict[str, float]


class Chunks(NamedTuple):
    """One side's chunks: descriptor of the file, and columns."""

    fd: int
    total: int
    offsets: ctypes.Array[ctypes.c_uint64]
    lengths: ctypes.Array[ctypes.c_uint32]
    weak: ctypes.Array[ctypes.c_uint32]


class WeakTable(NamedTuple):
    """Chunks with their numbers in the order of their weak checksums."""

    chunks: Chunks
    order: ctypes.Array[ctypes.c_uint32]

    @property
    def arguments(self) -> tuple[object, ...]:
        chunks = self.chunks
        return chunks.fd, chunks.offsets, chunks.lengths, chunks.weak, self.order, chunks.total


def weak_table(chunks: Chunks) -> WeakTable:
    order = (ctypes.c_uint32 * chunks.total)()
    library().weak_order(chunks.weak, chunks.total, order)
    return WeakTable(chunks, order)


def distinct(table: WeakTable) -> memoryview:
    """Each different weak checksum once, ascending, as u32."""
    out = (ctypes.c_uint32 * table.chunks.total)()
    count = library().weak_distinct(table.chunks.weak, table.order, table.chunks.total, out)
    return memoryview(out).cast("B").cast("I")[:count]


@contextmanager
def timed(times: Times, name: str) -> Iterator[None]:
    """Add the wall seconds of the block to `times`."""
    start = time.perf_counter()
    yield
    times[name] = times.get(name, 0.0) + time.perf_counter() - start


class Receiver:
    """The basis's side: answers lists with tokens."""

    def __init__(self, structure: Structure, chunks: Chunks, threads: int, times: Times) -> None:
        self._structure = structure
        self._chunks = chunks
        self._threads = threads if structure.parallel else 1
        self._times = times

    def run(self, link: Link) -> None:
        with timed(self._times, "table"):
            self._table = weak_table(self._chunks)
        with ThreadPoolExecutor(self._threads) as pool:
            while (frame := link.receive()).kind is Kind.LIST:
                self._answer(frame, pool, link)
        link.send(Kind.TOKENS_END)

    def _answer(self, frame: Frame, pool: ThreadPoolExecutor, link: Link) -> None:
        wanted = (ctypes.c_uint32 * frame.entries).from_buffer(frame.payload)
        with timed(self._times, "strong"):
            total = self._tokens(wanted, 0, 1, None)
            out = bytearray(TOKEN_BYTES * total)
            tokens = (ctypes.c_uint8 * len(out)).from_buffer(out)
            streaming = self._structure.streaming
            parts = -(-total // SLICE) if streaming else self._threads
            done = {pool.submit(self._tokens, wanted, part, parts, tokens): part for part in range(parts)}
            for future in as_completed(done):
                future.result()
                if streaming:
                    begin, end = (total * (done[future] + more) // parts for more in (0, 1))
                    link.send(Kind.TOKENS, memoryview(out)[TOKEN_BYTES * begin : TOKEN_BYTES * end], count=end - begin)
        if not streaming:
            link.send(Kind.TOKENS, out, count=total)

    def _tokens(
        self,
        wanted: ctypes.Array[ctypes.c_uint32],
        part: int,
        parts: int,
        out: ctypes.Array[ctypes.c_uint8] | None,
    ) -> int:
        share = part, parts, self._structure.by_checksum
        total: int = library().make_tokens(*self._table.arguments, wanted, len(wanted), *share, out)
        return total


class Sender:
    """The target's side: asks, and verifies the answers. `matches` has each chunk's place in the basis, or NONE."""

    def __init__(self, structure: Structure, chunks: Chunks, threads: int, times: Times) -> None:
        self._structure = structure
        self._chunks = chunks
        self._threads = threads if structure.parallel else 1
        self._times = times
        self.matches = (ctypes.c_uint64 * chunks.total)()
        ctypes.memset(self.matches, 0xFF, 8 * chunks.total)
        self._strong = (ctypes.c_uint8 * (32 * chunks.total))()
        self._known = (ctypes.c_uint8 * chunks.total)()

    def run(self, link: Link) -> None:
        with timed(self._times, "table"):
            self._table = weak_table(self._chunks)
            wanted = distinct(self._table)
        # A thread of its own: tokens come before the list's end.
        asking = threading.Thread(target=self._ask, args=(link, wanted))
        asking.start()
        with ThreadPoolExecutor(self._threads) as pool:
            while (frame := link.receive()).kind is Kind.TOKENS:
                with timed(self._times, "verify"):
                    self._verify(frame, pool)
        asking.join()

    def _ask(self, link: Link, wanted: memoryview) -> None:
        batch = LIST_BATCH if self._structure.streaming else max(1, len(wanted))
        for first in range(0, len(wanted), batch):
            part = wanted[first : first + batch]
            link.send(Kind.LIST, part, count=len(part))
        link.send(Kind.LIST_END)

    def _verify(self, frame: Frame, pool: ThreadPoolExecutor) -> None:
        tokens = (ctypes.c_uint8 * len(frame.payload)).from_buffer(frame.payload)

        def share(part: int) -> None:
            work = part, self._threads, self._structure.by_checksum
            results = self._strong, self._known, self.matches
            library().verify_tokens(*self._table.arguments, tokens, frame.entries, *work, *results)

        list(pool.map(share, range(self._threads)))
