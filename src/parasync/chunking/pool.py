"""The threads that chunk files, and the segments they share."""

from __future__ import annotations

import threading
from collections import deque

from parasync.chunking.job import ChunkingJob
from parasync.config import SEGMENT_BYTES
from parasync.kernels import FingerprintKey, Segment
from parasync.pipeline import Scope


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
