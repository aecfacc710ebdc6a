"""What the tests of the native core's Phase I need: kernels, memory with guards, and chunks out of segments."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import cycle

import oracle
from parasync.kernels import (
    KERNEL_VARIABLE,
    ChunkTable,
    FingerprintKey,
    Merger,
    Segment,
    active_kernel,
    fingerprint_key,
    select_kernel,
    usable_kernels,
)

KERNELS = [os.environ[KERNEL_VARIABLE]] if KERNEL_VARIABLE in os.environ else usable_kernels()
"""Every kernel that this CPU can run; with PARASYNC_KERNEL set, that one alone."""

SECRET = b"a secret of test"
KEY = fingerprint_key(SECRET)
PAGE = mmap.PAGESIZE

Chunks = list[tuple[int, bytes]]
"""(length, fingerprint) of each chunk of a file."""


@contextmanager
def using_kernel(name: str) -> Iterator[None]:
    """That kernel for the whole process, and then the one before it again."""
    before = active_kernel()
    select_kernel(name)
    try:
        yield
    finally:
        select_kernel(before)


def per_kernel(check: Callable[[], None]) -> None:
    """Run `check` with every kernel; for hypothesis, whose examples a fixture cannot repeat."""
    for name in KERNELS:
        with using_kernel(name):
            check()


def guarded(data: bytes, *, at_start: bool) -> memoryview:
    """A copy of `data` that begins right behind a page nobody may touch (`at_start`), or ends right before one.

    Reading one byte too far then ends the process.
    """
    pages = -(-len(data) // PAGE) or 1
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for page in (address, address + (pages + 1) * PAGE):
        if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
    begin = PAGE if at_start else (pages + 1) * PAGE - len(data)
    view = memoryview(memory)[begin : begin + len(data)]
    view[:] = data
    return view


def extents(size: int, lengths: Iterable[int]) -> Iterator[tuple[int, int]]:
    """(offset, length) of segments that cover `size` bytes, with these lengths over and over."""
    offset = 0
    for length in cycle(lengths):
        if offset >= size:
            return
        yield offset, min(length, size - offset)
        offset += length


def chunk_table(
    data: bytes | memoryview,
    average: int,
    lengths: Iterable[int],
    key: FingerprintKey = KEY,
    rule: str = "default",
    weak: bool = False,
) -> tuple[ChunkTable, Merger]:
    """Phase I over `data` in segments of these lengths, over and over."""
    table = ChunkTable(average, len(data), weak)
    merger = Merger(key, table, rule)
    segment = Segment(len(data) or 1)
    for offset, length in extents(len(data), lengths):
        segment.scan_buffer(key, average, data, offset, length, rule, weak)
        before = len(table)
        assert merger.merge(segment) == len(table) - before
    assert table.end == len(data)
    return table, merger


def rows(table: ChunkTable) -> Chunks:
    return [table.chunk(i)[1:] for i in range(len(table))]


def native_chunks(data: bytes | memoryview, average: int, *lengths: int, rule: str = "default") -> Chunks:
    """The chunks of `data` in segments of these lengths; in one segment if there are none."""
    return rows(chunk_table(data, average, lengths or (len(data) or 1,), rule=rule)[0])


def one_segment(data: bytes, average: int) -> Segment:
    """`data` scanned as one segment."""
    segment = Segment(len(data))
    segment.scan_buffer(KEY, average, data, 0, len(data))
    return segment


def chunks_between(data: bytes, ends: list[int]) -> Chunks:
    """Chunks with these ends. Their fingerprints are the core's own: those have tests of their own."""
    return [(end - begin, KEY.fingerprint(data[begin:end])) for begin, end in zip([0, *ends], ends, strict=False)]


def expected_chunks(data: bytes, average: int, rule: str = "default") -> Chunks:
    """The chunks of `data`, cut where the oracle cuts."""
    return chunks_between(data, oracle.cuts(oracle.candidates(data, average), len(data), average, rule))


@cache
def pattern_with_survivor(period: int, seed: int = 0) -> bytes:
    """A pattern of `period` bytes that hits the filter whenever it is repeated: the worst for a scan."""
    for attempt in range(10_000):
        pattern = random.Random(f"{period} {seed} {attempt}").randbytes(period)
        found = oracle.survivors(pattern * (2 + 64 // period))
        if found and found[-1] >= period + 16:
            return pattern
    raise ValueError(f"no pattern of {period} bytes hits the filter")


def repeated(pattern: bytes, length: int) -> bytes:
    """`length` bytes of the pattern, over and over."""
    return (pattern * (length // len(pattern) + 1))[:length]
