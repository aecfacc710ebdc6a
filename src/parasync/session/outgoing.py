"""The sender's files: opened, chunked or streamed whole."""

from __future__ import annotations

import os
import threading
from typing import NamedTuple

from parasync.chunking import ChunkingJob, ChunkingPool, ChunkSink, FailureSink, InlineChunker
from parasync.errors import ProtocolError, describe_os_error, display
from parasync.kernels import ChunkTable
from parasync.model import Entry, Need
from parasync.options import Options
from parasync.session.ahead import TARGET, Ahead, EarlyFile
from parasync.session.connection import Connection
from parasync.tree.scan import Source
from parasync.weak_strong import VerifyingSide
from parasync.wire import codec
from parasync.wire.messages import NO_FILE, Failed, FrameType, NeedItem


class Offered(NamedTuple):
    """An entry that was announced, and where it lies here."""

    source: Source
    entry: Entry

    def open(self) -> int:
        """A descriptor for reading.

        Raises:
            OSError: it cannot be opened.
            ChangedError: it is not what was announced any more.
        """
        fd = self.source.root.open_read(self.entry.path)
        try:
            self.check(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def check(self, fd: int) -> None:
        """Raise ChangedError unless size and time are still those announced."""
        now = os.fstat(fd)
        if (now.st_size, now.st_mtime_ns) != (self.entry.size, self.entry.mtime):
            raise ChangedError


class Needed(NamedTuple):
    """An entry whose content the receiver asked for."""

    number: int
    offered: Offered
    item: NeedItem
    again: bool = False
    """It was sent before, and did not verify."""


class ChangedError(Exception):
    """A source file changed after it was announced."""


def failure_of(error: Exception, path: bytes) -> Failed:
    """What the receiver is told about a source file that cannot be sent."""
    if isinstance(error, FileNotFoundError):
        return Failed(path, "vanished", f"'{display(path)}' vanished before it could be sent")
    if isinstance(error, (ChangedError, EOFError)):
        return Failed(path, "changed", f"'{display(path)}' changed while it was read: run again to send its new state")
    if isinstance(error, OSError):
        return Failed(path, "unreadable", describe_os_error("read", path, error))
    raise error


class OutgoingFile:
    """A file between need and done. Its descriptor is closed by `close`; readers work on duplicates."""

    def __init__(self, index: int, offered: Offered, need: NeedItem, options: Options) -> None:
        self.index = index
        self.offered = offered
        self.size = offered.entry.size
        self.table: ChunkTable | None = None
        self.verifying: VerifyingSide | None = None
        self.literal_bytes = 0
        self.announced = 0
        self.job: ChunkingJob | None = None
        self.again = False
        self._options = options
        self._wanted_extents = 0
        self._marked = False
        self._lock = threading.Lock()
        if need.need is Need.DELTA:
            self.table = ChunkTable(need.average, self.size, options.weak_strong)
        self._fd = offered.open()
        if self.table is not None and options.weak_strong:
            try:
                self.verifying = VerifyingSide(self.table, self._fd)
            except BaseException:
                os.close(self._fd)
                raise

    def take_early(self, ahead: Ahead) -> EarlyFile | None:
        """What was begun of it ahead, if that is of use."""
        with self._lock:
            if self.table is None or self._fd < 0:
                return None
            return ahead.take(self._fd, TARGET, self.table.average, self._options.chunking)

    def mark(self) -> bool:
        """Note that the verifier has something to do here; False if that is noted already."""
        with self._lock:
            first, self._marked = not self._marked, True
            return first

    def unmark(self) -> None:
        """The verifier starts on it; what comes from now on is to be marked again."""
        with self._lock:
            self._marked = False

    def duplicate(self) -> int | None:
        """A descriptor of the caller's own, or None when the file is closed."""
        with self._lock:
            return os.dup(self._fd) if self._fd >= 0 else None

    def is_closed(self) -> bool:
        """Whether it is done, or was given up."""
        with self._lock:
            return self._fd < 0

    def count_literal(self, length: int) -> None:
        """`length` bytes of it were sent as literals."""
        with self._lock:
            self.literal_bytes += length

    def check(self) -> None:
        """Raise ChangedError if the file is not what was announced any more."""
        with self._lock:
            if self._fd >= 0:
                self.offered.check(self._fd)

    def admit_wants(self, count: int) -> None:
        """Bound what a peer can make this side remember: at most one want per chunk it was told of.

        Raises:
            ProtocolError: beyond that.
        """
        self._wanted_extents += count
        if self.table is None or self.verifying is not None or self._wanted_extents > len(self.table):
            raise ProtocolError(f"more wants than chunks for '{display(self.offered.entry.path)}'")

    def chunk(self, pool: ChunkingPool, send: ChunkSink, failed: FailureSink) -> None:
        """Phase I for this file."""
        if self.table is None:
            raise ValueError("only a file that is wanted as a delta is chunked")
        self.job = ChunkingJob(self._fd, self.table, send, failed, self._options.chunking)
        pool.submit(self.job)

    def chunk_on(self, early: EarlyFile, send: ChunkSink, failed: FailureSink) -> None:
        """Phase I for this file, which was begun before it was known to be needed; called instead of `chunk`."""
        self.table, self.job = early.table, early.job
        early.adopt(send, failed)

    def chunk_inline(self, chunker: InlineChunker) -> None:
        """Phase I for this file, at once.

        Raises:
            OSError: a read failed.
            EOFError: the file became shorter.
        """
        if self.table is None:
            raise ValueError("only a file that is wanted as a delta is chunked")
        chunker.chunk(self._fd, self.table)

    def start_over(self) -> bool:
        """Stop chunking: the file is to be sent whole, as its second attempt; False if it was that before."""
        with self._lock:
            if self.again:
                return False
            self.again = True
            if self.job is not None:
                self.job.stop()
            return True

    def close(self) -> None:
        """Give the file up; idempotent."""
        with self._lock:
            if self.job is not None:
                self.job.stop()
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            if self.verifying is not None:
                self.verifying.close()


def send_failure(connection: Connection, failed: Failed, index: int = NO_FILE) -> None:
    """Tell the receiver that a path will not come."""
    connection.send(FrameType.FILE_FAILED, codec.encode_failed(failed), file=index)
