"""This project's Phase I: in memory through the native core, and as the command `parasync chunk`."""

from __future__ import annotations

import json
import time
from mmap import mmap
from typing import Any, NamedTuple

from benchmarks.chunking.overlap import merge_while_scanning
from benchmarks.chunking.subject import Input, Outcome, Subject
from benchmarks.errors import BenchmarkError
from benchmarks.lab.system import run
from benchmarks.lab.tools import parasync
from parasync.config import DEFAULT_AVERAGE, SEGMENT_BYTES
from parasync.kernels import ChunkTable, Merger, Segment, fingerprint_key, select_kernel

KEY = fingerprint_key(bytes(range(32)))
INCLUDES = "fingerprint of every chunk"


class Phases(NamedTuple):
    """CPU seconds of the two stages in one thread, what came out, and the most memory a segment's candidates took."""

    scan: float
    merge: float
    outcome: Outcome
    record_bytes: int


def phases(data: bytes | mmap, segment_bytes: int = SEGMENT_BYTES) -> Phases:
    """Phase I in one thread, its two stages timed apart, without what reading the clock takes (ParaSync 3.1)."""
    clock = _clock_seconds()
    table = ChunkTable(DEFAULT_AVERAGE, len(data))
    merger = Merger(KEY, table)
    segment = Segment(segment_bytes)
    scan = merge = 0.0
    records = 0
    for offset in range(0, len(data), segment_bytes):
        start = time.thread_time()
        segment.scan_buffer(KEY, DEFAULT_AVERAGE, data, offset, min(segment_bytes, len(data) - offset))
        middle = time.thread_time()
        merger.merge(segment)
        merge += time.thread_time() - middle - clock
        scan += middle - start - clock
        records = max(records, segment.record_bytes)
    return Phases(scan, merge, Outcome(len(table), merger.forced), records)


def _clock_seconds() -> float:
    """What one reading of the thread's clock takes: a system call, in virtual machines half a microsecond."""
    rounds = 1000
    start = time.thread_time()
    for _ in range(rounds):
        time.thread_time()
    return (time.thread_time() - start) / rounds


def chunk_in_memory(data: bytes | mmap, threads: int, segment_bytes: int = SEGMENT_BYTES) -> Outcome:
    """Phase I: `threads` scan segments, and merge them in file order as they become ready."""
    if threads == 1:
        return phases(data, segment_bytes).outcome
    table = ChunkTable(DEFAULT_AVERAGE, len(data))
    merger = Merger(KEY, table)

    def scan(segment: Segment, offset: int) -> Segment:
        segment.scan_buffer(KEY, DEFAULT_AVERAGE, data, offset, min(segment_bytes, len(data) - offset))
        return segment

    merge_while_scanning(scan, merger, len(data), threads, segment_bytes)
    return Outcome(len(table), merger.forced)


def in_memory(kernel: str, threads: int) -> Subject:
    """A kernel over bytes in memory."""

    def chunk(source: Input) -> Outcome:
        select_kernel(kernel)
        return chunk_in_memory(source.data, threads)

    return Subject(f"parasync {kernel}", "parasync", INCLUDES, threads, chunk)


def fingerprint_alone(kernel: str) -> Subject:
    """The fingerprint of everything at once: what of a kernel's time goes into it."""

    def fingerprint(source: Input) -> Outcome:
        select_kernel(kernel)
        KEY.fingerprint(source.data)
        return Outcome()

    return Subject(f"fingerprint alone, {kernel}", "limit", "no cuts", 1, fingerprint)


class Command:
    """`parasync chunk FILE`, start of the interpreter included.

    Its chunks must be the same for every kernel and number of threads: a benchmark of wrong results is none.
    """

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}

    def subject(self, kernel: str, threads: int) -> Subject:
        name = f"parasync chunk, {kernel}"

        def chunk(source: Input) -> Outcome:
            said = run(parasync(), "chunk", source.path, "--threads", threads, "--kernel", kernel, "--json")
            facts: dict[str, Any] = json.loads(said)
            if self._digests.setdefault(source.name, facts["digest"]) != facts["digest"]:
                raise BenchmarkError(f"{name}, {threads} threads: other chunks of {source.name} than runs before it")
            return Outcome(facts["chunks"], facts["forced"], facts["seconds"])

        return Subject(name, "command", f"start, reading, {INCLUDES}", threads, chunk)
