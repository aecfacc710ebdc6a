"""Phase I of a single large file, begun before the peer has said whether it is needed.

A session cannot begin before its modules are loaded, its connection stands and
the peer has answered: two round trips and a tenth of a second in which the
cores have nothing to do. Often one file is all that is to be synchronised, and
then it is known from the command line. One thread chunks it meanwhile; when it
turns out to be needed in the way that was assumed, the session adopts what is
there and the job goes on with all threads. If not, it is given up.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from types import TracebackType

from parasync.chunking import ChunkingJob, ChunkingPool, ChunkSink, FailureSink, SegmentSink
from parasync.config import INLINE_BYTES, Options, default_average
from parasync.kernels import KEY_BYTES, ChunkTable, fingerprint_key
from parasync.pipeline import Scope
from parasync.tracing import OFF, Tracer
from parasync.tree.safepath import Root


def new_key() -> bytes:
    """A fresh key for one session: whoever knows it could craft chunks that collide."""
    return os.urandom(KEY_BYTES)


class EarlyFile:
    """A file that is being chunked without anybody to tell. `adopt` names somebody; one thread owns it until then."""

    def __init__(self, fd: int, average: int, rule: str) -> None:
        self._identity = _identity(fd)
        self._held = 0
        self._complete = False
        self._error: Exception | None = None
        self._sink: ChunkSink | None = None
        self._failed: FailureSink | None = None
        self._lock = threading.Lock()
        self.table = ChunkTable(average, os.fstat(fd).st_size)
        self.job = ChunkingJob(fd, self.table, self._grow, self._fail, rule)

    def is_that(self, fd: int, average: int) -> bool:
        """Whether it is the content of `fd`, unchanged, in chunks of that average size."""
        return self.table.average == average and self._identity == _identity(fd)

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

    def __init__(self, key: bytes, options: Options, name: str, tracer: Tracer = OFF) -> None:
        self.key = key
        self._options = options
        self._name = name
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

    def begin(self, root: Root, path: bytes) -> None:
        """Start on the file there, if it is one, and so large that it is worth it; only a delta needs its chunks.

        What cannot be read is left to those who need it, and have somebody to tell.
        """
        options = self._options
        if options.whole_file or options.dry_run or options.weak_strong:
            return
        with suppress(OSError):
            fd = root.open_read(path)
            try:
                size = os.fstat(fd).st_size
                if size > INLINE_BYTES:
                    self._file = EarlyFile(fd, options.average or default_average(size), options.chunking)
                    self._pool = ChunkingPool(
                        self._scope, fingerprint_key(self.key), 1, name=self._name, prefix="early "
                    )
                    self._pool.submit(self._file.job)
            finally:
                os.close(fd)

    def take(self, fd: int, average: int) -> EarlyFile | None:
        """The file, if it is the content of `fd` in chunks of that average; only once. All threads go on with it."""
        file = self._leave()
        if file is None or self._pool is None:
            return None
        if not file.is_that(fd, average):
            file.job.stop()
            return None
        self._pool.widen(self._options.workers)
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
