"""Chunks that are sent before they are asked for: a round trip saved where one large file is synchronised.

Such a file is begun ahead, so its first chunks are there when its entry is
sent, and the answer to that takes a round trip. They go right behind the
entry. The greeting tells their average; the receiver keeps them until it knows
what it needs, and then both sides know, by the same rule, whether they count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from parasync.errors import ProtocolError
from parasync.kernels import ChunkTable
from parasync.model import Need
from parasync.options import Options
from parasync.pipeline import Channel, Scope
from parasync.session.ahead import Ahead, EarlyFile
from parasync.session.connection import Connection
from parasync.session.context import Goal
from parasync.session.incoming import IncomingFile
from parasync.session.outgoing import ChangedError, Needed, Offered, OutgoingFile
from parasync.wire.messages import FIRST_BYTES, MAX_UNASKED, Flags, FrameType, Header, NeedItem

CHUNKS_PER_FRAME = 512
"""Some 5 KiB: two frames are what TCP lets through at once when a connection begins."""

Send = Callable[[OutgoingFile, ChunkTable, int, int, bool], None]
"""Sends chunks of a file: its table, the first, how many, and whether the last is among them."""

Fail = Callable[[OutgoingFile, Exception], None]


class UnaskedSender:
    """The sender's side: the file that `ahead` began on, if any. Its entry is number 0.

    Its chunks become final on threads that are not this session's; the one of this class sends them, up to MAX_UNASKED
    bytes, and the others as soon as the file is accepted.
    """

    def __init__(self, scope: Scope, connection: Connection, ahead: Ahead, options: Options) -> None:
        self._connection = connection
        self._ahead = ahead
        self._options = options
        self._average = ahead.average
        self._file: OutgoingFile | None = None
        self._over = not self._average
        self._lock = threading.Lock()
        self._tasks: Channel[Callable[[], None]] = Channel(scope, 1)
        if self._average:
            scope.spawn(self._run, name="early")
        # The thread's own:
        self._room = MAX_UNASKED
        self._sent = self._final = 0
        self._complete = False
        self._error: Exception | None = None
        self._send: Send | None = None
        self._fail: Fail | None = None

    def close(self) -> None:
        """The session is at its end."""
        self._tasks.close()

    def begin(self, offered: Offered) -> None:
        """The first entry was sent. If it is what was begun on, its chunks follow, unless the answer was quicker."""
        with self._lock:
            self._begin(offered)

    def _begin(self, offered: Offered) -> None:
        if self._over or self._file is not None:
            return
        try:
            file = OutgoingFile(0, offered, NeedItem(0, Need.DELTA, self._average), self._options)
        except (OSError, ChangedError):
            return  # who needs it will be told
        early = file.take_early(self._ahead)
        if early is None:
            file.close()
            return
        self._file = file
        self._follow(file, early)

    def _follow(self, file: OutgoingFile, early: EarlyFile) -> None:
        def final(first: int, count: int, last: bool) -> None:
            self._tasks.offer(partial(self._add, file, early.table, first + count, last))

        def failed(error: Exception) -> None:
            self._tasks.offer(partial(self._stop, file, error))

        file.chunk_on(early, final, failed)

    def accept(self, needed: Needed) -> OutgoingFile | None:
        """The file, if this is how it is needed: `go_on` is to follow. If not, it is given up."""
        item = needed.item
        fits = (needed.number, item.need, item.average) == (0, Need.DELTA, self._average)
        with self._lock:
            if fits:
                self._begin(needed.offered)
            file = self._end()
        if file is None or fits:
            return file
        file.close()
        return None

    def go_on(self, file: OutgoingFile, send: Send, fail: Fail) -> None:
        """Send the other chunks of the file that was accepted, by `send`; `fail` hears why that is not possible."""
        self._tasks.offer(partial(self._answer, file, send, fail))

    def give_up(self) -> None:
        """The file is not needed, or its chunks are of no use."""
        with self._lock:
            file = self._end()
        self._ahead.give_up()
        if file is not None:
            file.close()

    def _end(self) -> OutgoingFile | None:
        """The answer is there: nothing is begun from now on."""
        self._over = True
        file, self._file = self._file, None
        return file

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        for task in self._tasks:
            task()

    def _add(self, file: OutgoingFile, table: ChunkTable, final: int, complete: bool) -> None:
        self._final, self._complete = final, complete
        if self._send is None:
            self._send_unasked(file, table)
        else:
            self._send_rest(file)

    def _stop(self, file: OutgoingFile, error: Exception) -> None:
        self._error = error
        if self._fail is not None:
            self._fail(file, error)

    def _answer(self, file: OutgoingFile, send: Send, fail: Fail) -> None:
        self._send, self._fail = send, fail
        if self._error is not None:
            fail(file, self._error)
        else:
            self._send_rest(file)

    def _send_rest(self, file: OutgoingFile) -> None:
        if self._send is None or file.table is None:
            raise ValueError("the file was not accepted")
        first, self._sent = self._sent, self._final
        self._send(file, file.table, first, self._final - first, self._complete)

    def _send_unasked(self, file: OutgoingFile, table: ChunkTable) -> None:
        while self._sent < self._final and not file.is_closed():
            count = min(CHUNKS_PER_FRAME, self._final - self._sent)
            chunks = table.encode(self._sent, count)
            if len(chunks) > self._room:
                return
            head = self._sent.to_bytes(FIRST_BYTES, "little")
            try:
                self._connection.send(FrameType.CHUNKS, head, chunks, count=count, flags=Flags.UNASKED)
            except ProtocolError:
                if file.is_closed():
                    return  # it was not needed, and the session has ended just now
                raise
            self._room -= len(chunks)
            self._sent += count


class UnaskedReceiver:
    """The receiver's side: keeps what comes unasked of entry 0 until its need is known.

    `take` is called with (first, chunks, count) of what counts, in order.
    """

    def __init__(self, goal: Goal, take: Callable[[int, memoryview, int], None]) -> None:
        self._average = goal.unasked
        self._same_key = goal.same_key
        self._take = take
        self._room = MAX_UNASKED if goal.unasked else 0
        self._kept: list[tuple[int, memoryview, int]] | None = []
        self._counts = False
        self._lock = threading.Lock()

    def receive(self, header: Header, first: int, chunks: memoryview) -> None:
        """A frame has come; the receiving thread.

        Raises:
            ProtocolError: it is not of entry 0, more than there may be, or nothing of that kind was told of.
        """
        if header.file or len(chunks) > self._room:
            raise ProtocolError(f"chunks of file {header.file} that nobody asked for")
        self._room -= len(chunks)
        with self._lock:
            if self._kept is not None:
                self._kept.append((first, chunks, header.count))
            elif self._counts:
                self._take(first, chunks, header.count)

    def answered(self, file: IncomingFile | None) -> None:
        """The sender was told what entry 0 is needed as: as this file, or not at all. Only the first call matters."""
        with self._lock:
            if self._kept is None:
                return
            kept, self._kept = self._kept, None
            delta = file is not None and file.need is Need.DELTA and file.average == self._average
            self._counts = delta and self._same_key
            for each in kept if self._counts else []:
                self._take(*each)
