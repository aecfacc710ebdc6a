"""The sender's literals: read from its files as they are wanted, packed, and sent over any connection.

Each frame carries the absolute target offsets of its bytes (ParaSync 3.3), so
several threads, one for each connection, take pieces from one queue.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from parasync.config import LANE_PIECE_BYTES, LITERAL_BYTES
from parasync.errors import ProtocolError, display
from parasync.kernels import FingerprintKey, LiteralReader
from parasync.pipeline import Channel, page_buffer
from parasync.session.compression import Packer
from parasync.session.lanes import Lane, Lanes, Redo
from parasync.session.outgoing import ChangedError, OutgoingFile
from parasync.wire.messages import EXTENT_BYTES, Flags, FrameType

if TYPE_CHECKING:
    from typing_extensions import Buffer

EXTENTS_PER_FRAME = 4096
"""Bounds the extents of a literal frame to 64 KiB beside its data."""


class LiteralTask(NamedTuple):
    """Extents of a file to send.

    `whole` means all of it, followed by its fingerprint. `again` are the flags
    of a frame that was lost with its lane, and is sent once more.
    """

    file: OutgoingFile
    extents: bytes | bytearray
    whole: bool = False
    again: Flags | None = None

    @classmethod
    def all_of(cls, file: OutgoingFile) -> LiteralTask:
        """The whole file."""
        return cls(file, struct.pack("<QQ", 0, file.size), whole=True)


class Piece(NamedTuple):
    """One frame's worth: extents, and `length` bytes in the buffer; the last of a whole file is its fingerprint."""

    file: OutgoingFile
    extents: bytes
    length: int
    flags: Flags
    again: bool
    fingerprint: bytes = b""


class _Work:
    """The task that pieces are cut from now."""

    def __init__(self, task: LiteralTask, fd: int, key: FingerprintKey) -> None:
        self.task = task
        self.fd = fd
        self.reader = LiteralReader(fd, task.extents, task.file.size, key if task.whole else None)
        # A want of the first attempt stays marked as that, even when the second begins meanwhile.
        own = Flags.RETRY if task.whole and task.file.again else Flags(0)
        self.flags = own if task.again is None else task.again


class LiteralQueue:
    """Cuts wanted literals into pieces; any number of threads take them."""

    def __init__(
        self,
        tasks: Channel[LiteralTask],
        key: FingerprintKey,
        failed: Callable[[OutgoingFile, Exception], None],
        progress: Callable[[OutgoingFile, int], None],
    ) -> None:
        self._tasks = tasks
        self._key = key
        self._failed = failed
        self._progress = progress
        self._work: _Work | None = None
        self._lock = threading.Lock()

    def fill(self, buffer: Buffer) -> Piece | None:
        """The next piece, its bytes read into `buffer`; None when no more are wanted."""
        while True:
            with self._lock:
                work = self._work or self._begin()
                if work is None:
                    return None
                try:
                    return self._cut(work, buffer)
                except (OSError, EOFError, ChangedError) as error:
                    work = self._work  # perhaps one that was begun meanwhile
                    if work is None:
                        raise
                    self._end(work)
                    failure = error
            # Telling the peer may take long, and is not for those who wait for a piece.
            self._failed(work.task.file, failure)

    def _begin(self) -> _Work | None:
        for task in self._tasks:
            fd = task.file.duplicate()
            if fd is None:
                continue
            try:
                self._work = _Work(task, fd, self._key)
            except ValueError as error:
                os.close(fd)
                path = display(task.file.offered.entry.path)
                raise ProtocolError(f"wants of '{path}' are out of bounds: {error}") from None
            if not task.whole and task.again is None:
                self._progress(task.file, -self._work.reader.total)
            return self._work
        return None

    def _cut(self, work: _Work, buffer: Buffer) -> Piece | None:
        task = work.task
        while True:
            extents, length = work.reader.fill(buffer, EXTENTS_PER_FRAME)
            if length:
                return Piece(task.file, extents, length, work.flags, task.again is not None)
            if task.whole:
                task.file.check()
                self._end(work)
                return Piece(task.file, b"", 0, work.flags, False, work.reader.fingerprint())
            self._end(work)
            following = self._begin()
            if following is None:
                return None
            work, task = following, following.task

    def _end(self, work: _Work) -> None:
        os.close(work.fd)
        self._work = None


class LiteralSender:
    """One thread's part: takes pieces, packs them, and sends them over its own connection."""

    def __init__(
        self,
        queue: LiteralQueue,
        lanes: Lanes,
        lane: Lane | None,
        packer: Packer,
        span: Callable[[str], AbstractContextManager[None]],
        progress: Callable[[OutgoingFile, int], None],
        again: Callable[[LiteralTask], None],
    ) -> None:
        self._queue = queue
        self._lanes = lanes
        self._lane = lane
        self._packer = packer
        self._span = span
        self._progress = progress
        self._again = again

    def run(self) -> None:
        """Serve until nothing more is wanted, or the lane is lost or full."""
        view = memoryview(page_buffer(LITERAL_BYTES if self._lane is None else LANE_PIECE_BYTES))
        self._packer.prepare()
        with self._packer.packing():
            self._serve(view)

    def _serve(self, view: memoryview) -> None:
        while True:
            with self._span("read literals"):
                piece = self._queue.fill(view[: self._lanes.piece_bytes])
            if piece is None:
                return
            if piece.fingerprint:
                self._lanes.main.send(
                    FrameType.FILE_END, piece.fingerprint, file=piece.file.index, flags=int(piece.flags)
                )
            elif not self._send(piece, view[: piece.length]):
                return

    def _send(self, piece: Piece, data: memoryview) -> bool:
        with self._span("compress"):
            packed = self._packer.pack(data)
        body, flags = (data, piece.flags) if packed is None else (packed, piece.flags | Flags.ZSTD)
        count = len(piece.extents) // EXTENT_BYTES
        taken = True

        def send() -> None:
            nonlocal taken
            taken = self._pass(piece, body, flags, count)

        self._packer.send(send, len(body), self._lanes)
        if not piece.again:
            self._progress(piece.file, piece.length)
        return taken

    def _pass(self, piece: Piece, body: bytes | memoryview, flags: Flags, count: int) -> bool:
        """False if this thread's lane is lost or full; then the piece is another's."""
        index = piece.file.index
        if self._lane is None:
            self._lanes.main.send(FrameType.LITERAL, piece.extents, body, file=index, count=count, flags=flags)
            return True
        again = LiteralTask(piece.file, piece.extents, again=piece.flags)
        redo = Redo(partial(self._again, again), piece.file.is_closed)
        sent = self._lanes.send_over(
            self._lane, redo, FrameType.LITERAL, piece.extents, body, file=index, count=count, flags=flags
        )
        if not sent:
            redo.again()
        return sent and not self._lane.lost
