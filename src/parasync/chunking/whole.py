"""A whole file's chunks at once: a small one's on the caller's thread, any file's by many."""

from __future__ import annotations

import time
from typing import NamedTuple

from parasync.chunking.job import ChunkingJob
from parasync.chunking.pool import ChunkingPool
from parasync.config import CHUNKING_DEFAULT, INLINE_BYTES, SEGMENT_BYTES
from parasync.kernels import ChunkTable, FingerprintKey, Merger, Segment
from parasync.pipeline import Scope


class InlineChunker:
    """Chunks small files on the caller's thread. One owner at a time; its buffer is made when first needed."""

    def __init__(self, key: FingerprintKey, rule: str = CHUNKING_DEFAULT) -> None:
        self._key = key
        self._rule = rule
        self._segment: Segment | None = None

    def chunk(self, fd: int, table: ChunkTable) -> None:
        """Fill the table of a file of `INLINE_BYTES` at most.

        Raises:
            OSError: a read failed.
            EOFError: the file is shorter than the table's size.
        """
        if self._segment is None:
            self._segment = Segment(INLINE_BYTES)
        self._segment.scan_file(self._key, table.average, fd, 0, table.size, self._rule, table.has_weak)
        Merger(self._key, table, self._rule).merge(self._segment)


class ChunkReport(NamedTuple):
    """One file's chunks and what they took: `forced` cuts, `rehashed` bytes, wall `seconds`."""

    table: ChunkTable
    forced: int
    rehashed: int
    seconds: float


def chunk_file(
    fd: int,
    size: int,
    key: FingerprintKey,
    average: int,
    threads: int,
    segment_bytes: int = SEGMENT_BYTES,
    rule: str = CHUNKING_DEFAULT,
    weak: bool = False,
) -> ChunkReport:
    """Chunk a whole open file by a cut rule, with weak checksums if asked for (ParaSync 3.1).

    Raises:
        OSError: a read failed.
        EOFError: the file became shorter than `size` while it was read.
    """
    table = ChunkTable(average, size, weak)
    errors: list[Exception] = []
    start = time.perf_counter()
    if size == 0:
        return ChunkReport(table, 0, 0, 0.0)
    job = ChunkingJob(fd, table, lambda first, count, last: None, errors.append, rule)
    try:
        with Scope("chunk") as scope:
            pool = ChunkingPool(scope, key, min(threads, -(-size // segment_bytes)), segment_bytes)
            pool.submit(job)
            pool.close()
    finally:
        job.stop()
    if errors:
        raise errors[0]
    seconds = time.perf_counter() - start
    forced, rehashed = (job.merger.forced, job.merger.rehashed) if job.merger else (0, 0)
    return ChunkReport(table, forced, rehashed, seconds)
