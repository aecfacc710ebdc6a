"""Phase I as each structure does it, over a file in memory, its stages timed apart (ParaSync 3.1, figures 16 and 17).

All cut by the paper's rule, at the first candidate of 13 bits between 4 and 12 KiB, and find the same chunks.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from benchmarks.chunking.overlap import merge_while_scanning
from benchmarks.paper.baselines.memory import Memory
from benchmarks.paper.library import key_words, library
from parasync.config import DEFAULT_AVERAGE, SEGMENT_BYTES
from parasync.kernels import ChunkTable, Merger, Segment, fingerprint_key

Work = TypeVar("Work")
Result = TypeVar("Result")

SECRET = bytes(16)
KEY = fingerprint_key(SECRET)
"""The fingerprint only guards against accidents here, so both sides know its key."""
RULE = "paper"
"""The product's name of the paper's cut rule."""
PAPER_LEVEL = 13
"""Bits of the paper's candidates: on average one in 8 KiB."""
ALIGNMENT = 64
"""Extents of SS-CDC's threads share no word of the bitmap."""


class Chunked(NamedTuple):
    """Wall seconds of both stages, and of each chunk its length and weak checksum."""

    stage1: float
    stage2: float
    lengths: ctypes.Array[ctypes.c_uint32]
    weak: ctypes.Array[ctypes.c_uint32]


Chunker = Callable[[Memory, int], Chunked]


def dsync(memory: Memory, threads: int = 1) -> Chunked:
    """One thread scans a piece, then cuts it, and so on to the end (ParaSync 2.1)."""
    table, merger = _table(memory.size)
    segment = Segment(SEGMENT_BYTES)
    stage1 = stage2 = 0.0
    for offset in range(0, memory.size, SEGMENT_BYTES):
        start = time.perf_counter()
        _scan(segment, memory, (offset, min(SEGMENT_BYTES, memory.size - offset)))
        middle = time.perf_counter()
        merger.merge(segment)
        stage1 += middle - start
        stage2 += time.perf_counter() - middle
    return _chunked(stage1, stage2, table)


def parasync(memory: Memory, threads: int) -> Chunked:
    """Equal segments, one per thread, with checksums of sub-chunks; a barrier; one thread merges (ParaSync 3.1)."""
    table, merger = _table(memory.size)

    def scan(extent: tuple[int, int]) -> Segment:
        segment = Segment(extent[1])
        _scan(segment, memory, extent)
        return segment

    start = time.perf_counter()
    segments = spread(scan, equal_extents(memory.size, threads))
    middle = time.perf_counter()
    for segment in segments:
        merger.merge(segment)
    return _chunked(middle - start, time.perf_counter() - middle, table)


def pdsync(memory: Memory, threads: int) -> Chunked:
    """SS-CDC: threads mark candidates in a bitmap; one thread cuts and computes the checksums (ParaSync 3.1, 4.1).

    They are what the other structures compute, too: the weak one, and the fingerprint that verifies the result.
    """
    return _sscdc(memory, threads, fingerprints=True)


def pdsync_weak(memory: Memory, threads: int) -> Chunked:
    """The same without fingerprints: less work than all others do, but what the paper's pdsync does."""
    return _sscdc(memory, threads, fingerprints=False)


def _sscdc(memory: Memory, threads: int, *, fingerprints: bool) -> Chunked:
    native = library()
    minimum, maximum = DEFAULT_AVERAGE // 2, DEFAULT_AVERAGE // 2 * 3
    words = key_words(SECRET) if fingerprints else b""
    lengths = (ctypes.c_uint32 * (memory.size // minimum + 1))()
    start = time.perf_counter()
    bitmap = (ctypes.c_uint64 * (memory.size // 64 + 2))()

    def mark(extent: tuple[int, int]) -> None:
        native.mark(memory.address, *extent, PAPER_LEVEL, bitmap)

    spread(mark, equal_extents(memory.size, threads))
    middle = time.perf_counter()
    count = native.cut(bitmap, memory.size, minimum, maximum, lengths)
    weak = (ctypes.c_uint32 * count)()
    strong = (ctypes.c_uint8 * (16 * count))() if fingerprints else None
    native.checksums(memory.address, lengths, count, weak, words, len(words) // 8, strong)
    took = time.perf_counter() - middle
    return Chunked(middle - start, took, (ctypes.c_uint32 * count).from_buffer(lengths), weak)


def overlapped(memory: Memory, threads: int) -> Chunked:
    """As the product does it in the paper's mode: segments of 4 MiB, merged in turn while later ones are scanned."""
    table, merger = _table(memory.size)

    def scan(segment: Segment, offset: int) -> Segment:
        _scan(segment, memory, (offset, min(SEGMENT_BYTES, memory.size - offset)))
        return segment

    start = time.perf_counter()
    merge_while_scanning(scan, merger, memory.size, threads)
    return _chunked(time.perf_counter() - start, 0.0, table)


CHUNKERS: dict[str, Chunker] = {"dsync": dsync, "pdsync": pdsync, "parasync": parasync}


def _table(size: int) -> tuple[ChunkTable, Merger]:
    table = ChunkTable(DEFAULT_AVERAGE, size, weak=True)
    return table, Merger(KEY, table, rule=RULE)


def _scan(segment: Segment, memory: Memory, extent: tuple[int, int]) -> None:
    segment.scan_buffer(KEY, DEFAULT_AVERAGE, memory.view, *extent, rule=RULE, weak=True)


def _chunked(stage1: float, stage2: float, table: ChunkTable) -> Chunked:
    count = len(table)
    # All lengths come first, and the paper's largest chunk fits 16 bits.
    lengths = memoryview(table.encode(0, count))[: 2 * count].cast("H")
    weak = (ctypes.c_uint32 * count).from_buffer_copy(table.weak(0, count))
    return Chunked(stage1, stage2, (ctypes.c_uint32 * count)(*lengths), weak)


def equal_extents(size: int, threads: int) -> list[tuple[int, int]]:
    """(offset, length) of one segment for each thread."""
    part = max(ALIGNMENT, -(-size // threads // ALIGNMENT) * ALIGNMENT)
    return [(offset, min(part, size - offset)) for offset in range(0, size, part)]


def spread(work: Callable[[Work], Result], units: Sequence[Work]) -> list[Result]:
    """`work` on every unit, each on a thread of its own; the caller's, if there is one only."""
    if len(units) == 1:
        return [work(units[0])]
    with ThreadPoolExecutor(len(units)) as pool:
        return list(pool.map(work, units))
