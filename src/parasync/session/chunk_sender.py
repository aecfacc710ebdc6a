"""The sender's Phase I: chunks of its files, sent as they become final (ParaSync 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from parasync.chunking import ChunkingPool, InlineChunker
from parasync.config import INLINE_BYTES
from parasync.kernels import ChunkTable, FingerprintKey
from parasync.model import Monitor
from parasync.options import Options
from parasync.pipeline import Scope
from parasync.session.ahead import TARGET
from parasync.session.lanes import Lanes, Redo
from parasync.session.outgoing import ChangedError, OutgoingFile
from parasync.wire.messages import FIRST_BYTES, FrameType

CHUNKS_PER_FRAME = 2048
"""The receiver looks them up when the whole frame is there."""


class ChunkSender:
    """Chunks and announces files that are wanted as a delta.

    `announce` takes over what is told of chunks in place of CHUNKS, for sessions
    with weak checksums. `fail` hears of files that cannot be read to their end.
    """

    def __init__(
        self,
        scope: Scope,
        lanes: Lanes,
        key: FingerprintKey,
        options: Options,
        monitor: Monitor,
        announce: Callable[[OutgoingFile, int, int], None] | None,
        fail: Callable[[OutgoingFile, Exception], None],
    ) -> None:
        self._lanes = lanes
        self._key = key
        self._monitor = monitor
        self._announce = announce
        self._fail = fail
        self._inline = InlineChunker(key, options.chunking)
        self._pool = ChunkingPool(scope, key, options.workers, name=TARGET)

    def close(self) -> None:
        """No file follows."""
        self._pool.close()

    def start(self, file: OutgoingFile, table: ChunkTable) -> None:
        """Chunk `file` into `table`, its own: at once if it is small, else on threads; one caller at a time."""
        if file.size <= INLINE_BYTES:
            try:
                file.chunk_inline(self._inline)
            except (OSError, EOFError) as error:
                self._fail(file, error)
            else:
                self.send(file, table, 0, len(table), True)
        else:
            file.chunk(self._pool, partial(self.send, file, table), partial(self._fail, file))

    def send(self, file: OutgoingFile, table: ChunkTable, first: int, count: int, last: bool) -> None:
        """Announce `count` chunks of the file's table; `last`: it is complete."""
        if self._announce is not None:
            self._announce(file, first, count)
        else:
            for start in range(first, first + count, CHUNKS_PER_FRAME):
                self._send_part(file, table, start, min(CHUNKS_PER_FRAME, first + count - start))
        self._monitor.advance(table.end - file.announced)
        file.announced = table.end
        if last:
            try:
                file.check()
            except ChangedError as error:
                self._fail(file, error)
                return
            self._lanes.main.send(FrameType.FILE_END, table.fold(self._key), file=file.index)

    def _send_part(self, file: OutgoingFile, table: ChunkTable, first: int, count: int) -> None:
        head = first.to_bytes(FIRST_BYTES, "little")
        redo = Redo(partial(self._send_part, file, table, first, count), file.is_closed)
        self._lanes.send(redo, FrameType.CHUNKS, head, table.encode(first, count), file=file.index, count=count)
