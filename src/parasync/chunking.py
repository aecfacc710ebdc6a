"""PHASE I: content-defined chunks found by many threads (ParaSync 3.1).

1. A file is cut into equal segments; every worker takes the next segment in
   file order, reads it and scans it for candidates, fingerprints included.
   The window hash is warmed with the bytes before the segment, so candidates
   do not depend on where segments begin.
2. Whoever finishes the next segment in order merges it: cuts are selected
   under minimum and maximum, fingerprints of chunks are combined from those of
   sub-chunks. No thread waits for a merge, and nothing is read twice but what
   lies before a cut that had to be forced.
3. Each merge hands the chunks that became final to the job's sink, so the
   first batch leaves after the first segment.

The chunks are a pure function of content and average size: the number of
threads, the segment size and the CPU do not show. An interruption leaves
nothing behind: this phase only reads.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from parasync.config import CHUNKING_DEFAULT, INLINE_BYTES, SEGMENT_BYTES
from parasync.kernels import ChunkTable, FingerprintKey, Merger, Segment
from parasync.pipeline import Scope

ChunkSink = Callable[[int, int, bool], None]
"""Called with (first chunk, count, whether these are the last); in order, never twice at once per job."""
FailureSink = Callable[[Exception], None]
SegmentUse = Callable[[], None]
SegmentSink = Callable[[Segment], Callable[[], SegmentUse | None]]
"""Called with each merged segment in order, never twice at once per job. What it returns is called soon, while others
merge. What that returns, if anything, is called before the segment is scanned again, but for one segment of the job at
a time: threads that would wait for each other go on scanning instead."""


def _nobody() -> None:
    pass


class ChunkingJob:
    """One file to chunk: the table to fill, and whom to tell.

    The job reads through a duplicate of `fd` of its own, so the owner may close
    `fd` at any time. `failed` gets the first OSError or EOFError of a read,
    once; `sink` is not called afterwards. `rule` is the cut rule; whether there
    are weak checksums says the table. `merged`, which may be set later, finds
    the segments' bytes in memory if they are to `keep` them.
    """

    def __init__(
        self,
        fd: int,
        table: ChunkTable,
        sink: ChunkSink,
        failed: FailureSink,
        rule: str = CHUNKING_DEFAULT,
        merged: SegmentSink | None = None,
        keep: bool = False,
    ) -> None:
        self.fd = os.dup(fd)
        self.table = table
        self.rule = rule
        self.keep = keep
        self.merger: Merger | None = None
        self.merged = merged
        self._sink = sink
        self._failed = failed
        self._next = 0
        self._turn = 0
        self._users = 0
        self._scanned: dict[int, Segment] = {}
        self._merging = False
        self._uses: deque[tuple[Segment, SegmentUse]] = deque()
        self._using = False
        self._stopped = False
        self._limit = table.size
        self._patience = 0.0
        self._waiting_since: float | None = None
        self._wake: Callable[[], None] = _nobody
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Start no more work and call nobody any more; the descriptor is closed when its last user is gone."""
        with self._lock:
            self._stopped = True
            self._close_if_unused()
        self._wake()

    def hold(self, patience: float) -> None:
        """Go no further than `allow` says, until that has cost `patience` seconds of waiting altogether."""
        with self._lock:
            self._limit, self._patience = 0, patience

    def allow(self, end: int) -> None:
        """The first `end` bytes may be chunked, if that is more than before."""
        with self._lock:
            if end <= self._limit:
                return
            self._limit = end
            if self._waiting_since is not None:
                self._patience -= time.monotonic() - self._waiting_since
                self._waiting_since = None
        self._wake()

    def watch(self, wake: Callable[[], None]) -> None:
        """Whom to call when there may be work again, or never will be."""
        self._wake = wake

    def take(self, segment_bytes: int) -> tuple[int, int, int] | None:
        """(number, offset, length) of the next segment to scan, or None when there is none, or none yet."""
        with self._lock:
            if self._is_over(segment_bytes):
                return None
            offset = self._next * segment_bytes
            length = min(segment_bytes, self.table.size - offset)
            if offset + length > self._limit and self._remaining_patience() > 0:
                return None
            number = self._next
            self._next += 1
            self._users += 1
            return number, offset, length

    def wait_for(self, segment_bytes: int) -> float | None:
        """For how many seconds `take` will give nothing unless more is allowed; None when it never will."""
        with self._lock:
            return None if self._is_over(segment_bytes) else self._remaining_patience()

    def _is_over(self, segment_bytes: int) -> bool:
        return self._stopped or self._next * segment_bytes >= self.table.size

    def _remaining_patience(self) -> float:
        """To be asked while this waits; the waiting begins with the first time."""
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        return self._patience - (now - self._waiting_since)

    def merge(self, number: int, segment: Segment, key: FingerprintKey, release: Callable[[Segment], None]) -> None:
        """Stage 2 for `segment` if it is next in order, and for those that waited for it.

        Every segment goes back through `release` after its turn, and its use if it has one.
        """
        with self._lock:
            self._scanned[number] = segment
            if self._merging:
                return
            self._merging = True
        done: list[Segment] = []
        followed: list[tuple[Segment, Callable[[], SegmentUse | None]]] = []
        try:
            while (ready := self._next_in_order()) is not None:
                done.append(ready)
                if not self._stopped and self._append(ready, key) and self.merged is not None:
                    followed.append((ready, self.merged(ready)))
            # Behind the loop, so that others can merge meanwhile.
            for ready, follow in followed:
                if (use := follow()) is not None:
                    done.remove(ready)
                    self._uses.append((ready, use))
        finally:
            self._release_all(done, release)
        self._use(release)
        self._give_up_waiting(release)

    def _use(self, release: Callable[[Segment], None]) -> None:
        """Use the segments that wait for it, unless another thread is at it."""
        while True:
            with self._lock:
                if self._using or not self._uses:
                    return
                self._using = True
                segment, use = self._uses.popleft()
            unused: list[Segment] = []
            try:
                use()
            except BaseException:
                # The session ends: nobody may come for the others.
                with self._lock:
                    unused = [one for one, _ in self._uses]
                    self._uses.clear()
                raise
            finally:
                self._release_all([segment, *unused], release)
                with self._lock:
                    self._using = False

    def fail(self, error: Exception, release: Callable[[Segment], None]) -> None:
        """A read failed: stop, and tell the owner once."""
        self._stop_for(error)
        self._done_with(1)
        self._give_up_waiting(release)

    def _stop_for(self, error: Exception) -> None:
        with self._lock:
            first, self._stopped = not self._stopped, True
        if first:
            self._failed(error)

    def _next_in_order(self) -> Segment | None:
        with self._lock:
            ready = self._scanned.pop(self._turn, None)
            if ready is None:
                self._merging = False
            else:
                self._turn += 1
            return ready

    def _append(self, segment: Segment, key: FingerprintKey) -> bool:
        if self.merger is None:
            self.merger = Merger(key, self.table, self.rule)
        first = len(self.table)
        try:
            count = self.merger.merge(segment)
        except (OSError, EOFError) as error:  # of bytes that it had to read again
            self._stop_for(error)
            return False
        if count:
            self._sink(first, count, self.table.end == self.table.size)
        return True

    def _give_up_waiting(self, release: Callable[[Segment], None]) -> None:
        """After a stop, segments that wait for one that will never come are released."""
        with self._lock:
            if not self._stopped or self._merging:
                return
            waiting = list(self._scanned.values())
            self._scanned.clear()
        self._release_all(waiting, release)

    def _release_all(self, segments: list[Segment], release: Callable[[Segment], None]) -> None:
        for segment in segments:
            release(segment)
        self._done_with(len(segments))

    def _done_with(self, users: int) -> None:
        with self._lock:
            self._users -= users
            if self.table.end == self.table.size:
                self._stopped = True
            self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._stopped and self._users == 0 and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class ChunkingPool:
    """Threads that chunk the submitted jobs in the order of submission, each file by all of them.

    Holds at most `threads + 1` segments of `segment_bytes`: memory does not depend on the files' sizes. Spans are named
    after what is chunked, threads have a `prefix` as well.
    """

    def __init__(
        self,
        scope: Scope,
        key: FingerprintKey,
        threads: int,
        segment_bytes: int = SEGMENT_BYTES,
        name: str = "chunk",
        prefix: str = "",
    ) -> None:
        self._scope = scope
        self._key = key
        self._segment_bytes = segment_bytes
        self._scan, self._merge = f"scan {name}", f"merge {name}"
        self._jobs: deque[ChunkingJob] = deque()
        self._free: list[Segment] = []
        self._name = prefix + name
        self._threads = self._unmade = 0
        self._closed = False
        self._changed = threading.Condition()
        scope.on_cancel(self._notify)
        self.widen(threads)

    def widen(self, threads: int) -> None:
        """Go on with so many threads, if these are more."""
        with self._changed:
            numbers = range(self._threads, threads)
            if not numbers:
                return
            self._unmade += _segments(threads) - _segments(self._threads)
            self._threads = threads
        for number in numbers:
            self._scope.spawn(self._work, name=f"{self._name}{number}")

    def submit(self, job: ChunkingJob) -> None:
        """Queue `job`.

        Raises:
            ValueError: for an empty file, which has no chunks.
        """
        if job.table.size == 0:
            raise ValueError("an empty file has no chunks")
        job.watch(self._notify)
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def close(self) -> None:
        """No job follows; the threads end after the last one."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            segment, job, number, offset, length = taken
            try:
                with self._scope.span(self._scan):
                    table = job.table
                    segment.scan_file(
                        self._key, table.average, job.fd, offset, length, job.rule, table.has_weak, job.keep
                    )
            except (OSError, EOFError) as error:
                self._release(segment)
                job.fail(error, self._release)
            else:
                with self._scope.span(self._merge):
                    job.merge(number, segment, self._key, self._release)

    def _take(self) -> tuple[Segment, ChunkingJob, int, int, int] | None:
        """A free segment and work for it, together.

        Were numbers given out first, workers with later segments could hold
        every buffer while the next in order waits for one.
        """
        with self._changed:
            while True:
                self._scope.check()
                patience = None
                if self._free or self._unmade:
                    for job in tuple(self._jobs):
                        work = job.take(self._segment_bytes)
                        if work is not None:
                            return (self._free_segment(), job, *work)
                        patience = job.wait_for(self._segment_bytes)
                        if patience is None:
                            self._jobs.remove(job)
                if self._closed and not self._jobs:
                    return None
                self._changed.wait(patience)

    def _free_segment(self) -> Segment:
        if self._free:
            return self._free.pop()
        self._unmade -= 1
        return Segment(self._segment_bytes)

    def _release(self, segment: Segment) -> None:
        with self._changed:
            self._free.append(segment)
            self._changed.notify_all()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _segments(threads: int) -> int:
    """How many segments a pool works with: one may wait for its turn to be merged."""
    return threads + (threads > 1)


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
