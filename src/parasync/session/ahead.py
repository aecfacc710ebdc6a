"""Phase I of a single large file, begun before the peer has said whether it is needed.

A session cannot begin before its modules are loaded, its connection stands and
the peer has answered: two round trips and a tenth of a second in which the
cores have nothing to do. Often one file is all that is to be synchronised, and
then it is known from the command line. One thread chunks it meanwhile; when it
turns out to be needed in the way that was assumed, the session adopts what is
there and the job goes on with all threads. If not, it is given up.

The program begins before it has even read its options, so this module imports
little.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from parasync.chunking import ChunkingJob, ChunkingPool, ChunkSink, FailureSink, SegmentSink
from parasync.config import CHUNKING_DEFAULT, INLINE_BYTES, KEPT_SEGMENT_BYTES, SEGMENT_BYTES, default_average
from parasync.kernels import KEY_BYTES, ChunkTable, fingerprint_key
from parasync.pipeline import Scope
from parasync.tracing import OFF, Tracer

if TYPE_CHECKING:
    from parasync.options import Options
    from parasync.tree.safepath import Root


TARGET = "target"
BASIS = "basis"  # of which segments keep their bytes, for copies out of them


def new_key() -> bytes:
    """A fresh key for one session: whoever knows it could craft chunks that collide."""
    return os.urandom(KEY_BYTES)


class EarlyFile:
    """A file that is being chunked without anybody to tell. `adopt` names somebody; one thread owns it until then."""

    def __init__(self, fd: int, name: str, average: int, rule: str) -> None:
        self._name = name
        self._identity = _identity(fd)
        self._rule = rule
        self._held = 0
        self._complete = False
        self._error: Exception | None = None
        self._sink: ChunkSink | None = None
        self._failed: FailureSink | None = None
        self._lock = threading.Lock()
        self.table = ChunkTable(average, os.fstat(fd).st_size)
        self.job = ChunkingJob(fd, self.table, self._grow, self._fail, rule, keep=name == BASIS)

    def is_that(self, fd: int, name: str, average: int, rule: str) -> bool:
        """Whether it is the content of `fd`, unchanged, for that use, in chunks of that average size by that rule."""
        return (self._name, self.table.average, self._rule, self._identity) == (name, average, rule, _identity(fd))

    def adopt(self, sink: ChunkSink, failed: FailureSink, merged: SegmentSink | None = None) -> None:
        """Tell these from now on, on the job's threads; what is there already they hear at once, on this one."""
        self.job.merged = merged
        with self._lock:
            self._sink, self._failed = sink, failed
            if self._held:
                sink(0, self._held, self._complete)
            if self._error is not None:
                failed(self._error)

    def _grow(self, first: int, count: int, last: bool) -> None:
        with self._lock:
            self._held, self._complete = first + count, last
            if self._sink is not None:
                self._sink(first, count, last)

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._error = error
            if self._failed is not None:
                self._failed(error)


class Ahead:
    """Begins on at most one file, by the key that the session is to have. A context: leaving it ends the work.

    If the session gets another key, what was done is of no use: `give_up`.
    """

    def __init__(self, key: bytes, tracer: Tracer = OFF) -> None:
        self.key = key
        self._threads = 1
        self._scope = Scope("ahead", tracer=tracer)
        self._pool: ChunkingPool | None = None
        self._file: EarlyFile | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_up()
        if self._pool is not None:
            self._pool.close()
        self._scope.__exit__(kind, error, trace)

    def begin(self, root: Root, path: bytes, name: str, options: Options) -> None:
        """Start on the file there, if it is one, and so large that it is worth it; only a delta needs its chunks.

        `name` is what it is to the sync, TARGET or BASIS. What was begun on goes on if it is just that. What cannot
        be read is left to those who need it, and have somebody to tell.
        """
        self._threads = options.workers
        if options.whole_file or options.dry_run or options.weak_strong:
            self.give_up()
            return
        try:
            fd = root.open_read(path)
        except OSError:
            self.give_up()
            return
        try:
            self.begin_on(fd, name, options.average, options.chunking, options.fine)
        finally:
            os.close(fd)

    def begin_on(self, fd: int, name: str, average: int = 0, rule: str = CHUNKING_DEFAULT, fine: bool = False) -> None:
        """Start on the open file, by the average for its size unless one is given, if it is large enough."""
        with suppress(OSError):
            size = os.fstat(fd).st_size
            average = average or default_average(size, fine)
            if self._file is not None and self._file.is_that(fd, name, average, rule):
                return
            self.give_up()
            if size > INLINE_BYTES:
                self._file = EarlyFile(fd, name, average, rule)
                if self._pool is None:
                    segment = KEPT_SEGMENT_BYTES if name == BASIS else SEGMENT_BYTES
                    key = fingerprint_key(self.key)
                    self._pool = ChunkingPool(self._scope, key, 1, segment, name=name, prefix="early ")
                self._pool.submit(self._file.job)

    @property
    def average(self) -> int:
        """Average size of the chunks of the file that was begun on; 0 if there is none."""
        file = self._file
        return file.table.average if file is not None else 0

    def watch(self, tracer: Tracer) -> None:
        """Record from now on what is done."""
        self._scope.span = tracer.span

    def take(self, fd: int, name: str, average: int, rule: str) -> EarlyFile | None:
        """The file, if it is the content of `fd` for that use, in chunks of that average by that rule; only once.

        All threads go on with it.
        """
        file = self._leave()
        if file is None or self._pool is None:
            return None
        if not file.is_that(fd, name, average, rule):
            file.job.stop()
            return None
        self._pool.widen(self._threads)
        return file

    def give_up(self) -> None:
        """The file is not needed, unless it was taken."""
        file = self._leave()
        if file is not None:
            file.job.stop()

    def _leave(self) -> EarlyFile | None:
        with self._lock:
            file, self._file = self._file, None
            return file


def _identity(fd: int) -> tuple[int, int, int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
