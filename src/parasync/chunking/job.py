"""One file's chunking: which segments are scanned when, and their merge in file order."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable

from parasync.config import CHUNKING_DEFAULT
from parasync.kernels import ChunkTable, FingerprintKey, Merger, Segment

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


class _Allowance:
    """How much of a file may be chunked, and how long that is respected. The job's lock guards it."""

    def __init__(self, end: int) -> None:
        self._end = end
        self._patience = 0.0
        self._waiting_since: float | None = None

    def hold(self, patience: float) -> None:
        """Nothing may, until that has cost `patience` seconds of waiting altogether."""
        self._end, self._patience = 0, patience

    def extend(self, end: int) -> bool:
        """The first `end` bytes may be; whether these are more than before. The waiting ends."""
        if end <= self._end:
            return False
        self._end = end
        if self._waiting_since is not None:
            self._patience -= time.monotonic() - self._waiting_since
            self._waiting_since = None
        return True

    def covers(self, end: int) -> bool:
        """Whether the file may be chunked up to there: it is allowed, or has been waited for long enough."""
        return end <= self._end or self.patience() <= 0

    def patience(self) -> float:
        """Seconds left to wait. To be asked while one waits; the waiting begins with the first time."""
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        return self._patience - (now - self._waiting_since)


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
        self._allowance = _Allowance(table.size)
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
            self._allowance.hold(patience)

    def allow(self, end: int) -> None:
        """The first `end` bytes may be chunked, if that is more than before."""
        with self._lock:
            more = self._allowance.extend(end)
        if more:
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
            if not self._allowance.covers(offset + length):
                return None
            number = self._next
            self._next += 1
            self._users += 1
            return number, offset, length

    def wait_for(self, segment_bytes: int) -> float | None:
        """For how many seconds `take` will give nothing unless more is allowed; None when it never will."""
        with self._lock:
            return None if self._is_over(segment_bytes) else self._allowance.patience()

    def _is_over(self, segment_bytes: int) -> bool:
        return self._stopped or self._next * segment_bytes >= self.table.size

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
