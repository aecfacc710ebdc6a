"""Both ends of a connection in one process: what tests, and a sync between two local trees, run on.

Each direction is a queue of buffers. Small ones are copied, so that a sender
goes on at once as it would on a socket; large ones are lent, and their sender
waits until the receiver has copied them out: one copy in all.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from parasync.config import KIB, STALL_SECONDS
from parasync.errors import ConnectionLostError, DeadlineError

if TYPE_CHECKING:
    from typing_extensions import Buffer

CAPACITY = 256 * KIB
"""Bytes a direction holds before its sender waits: what two sides may say at once without listening."""
COPY_LIMIT = 16 * KIB
"""Buffers up to this are copied: below it the copy is cheaper than a change of threads."""


def memory_pair() -> tuple[MemoryStream, MemoryStream]:
    """Two streams, each the other's peer."""
    forth, back = _Direction(), _Direction()
    return MemoryStream("memory:right", forth, back), MemoryStream("memory:left", back, forth)


class MemoryStream:
    """One end; see `Stream`."""

    def __init__(self, name: str, outgoing: _Direction, incoming: _Direction) -> None:
        self._name = name
        self._outgoing = outgoing
        self._incoming = incoming
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self.idle_timeout = STALL_SECONDS

    @property
    def name(self) -> str:
        return self._name

    @property
    def round_trip(self) -> float:
        return 0.0

    @property
    def backlog(self) -> int:
        return 0

    @property
    def losses(self) -> int:
        return 0

    @property
    def bytes_sent(self) -> int:
        return self._outgoing.written

    @property
    def bytes_received(self) -> int:
        return self._incoming.read

    def send(self, *buffers: Buffer) -> None:
        with self._sending:
            try:
                self._outgoing.write(buffers, self.idle_timeout)
            except TimeoutError:
                raise DeadlineError(f"{self._name} took no data for {self.idle_timeout:g} seconds") from None
            except BrokenPipeError as error:
                raise ConnectionLostError(f"the connection to {self._name} {error}") from None

    def receive_into(self, view: memoryview) -> None:
        with self._receiving:
            try:
                self._incoming.read_into(view.cast("B"), self.idle_timeout)
            except TimeoutError:
                raise DeadlineError(f"{self._name} sent nothing for {self.idle_timeout:g} seconds") from None
            except BrokenPipeError as error:
                raise ConnectionLostError(f"the connection to {self._name} {error}") from None

    def close_sending(self) -> None:
        with self._sending:
            self._outgoing.end()

    def abort(self) -> None:
        self._outgoing.break_off("was aborted")
        self._incoming.break_off("was aborted")

    def close(self) -> None:
        self._outgoing.end()
        self._incoming.break_off("was closed")


class _Direction:
    """The bytes on their way from one end to the other: one writer and one reader at a time.

    Raises TimeoutError and BrokenPipeError (with the reason); its owners add whose they are.
    """

    def __init__(self) -> None:
        self.written = 0
        self.read = 0
        self._queue: deque[memoryview] = deque()
        self._ended = False
        self._broken = ""
        self._changed = threading.Condition()

    def write(self, buffers: tuple[Buffer, ...], timeout: float) -> None:
        lent = 0
        with self._changed:
            try:
                for buffer in buffers:
                    view = memoryview(buffer).cast("B")
                    if not view:
                        continue
                    self._wait_until_read(self.written - CAPACITY, timeout)
                    if len(view) <= COPY_LIMIT:
                        view = memoryview(bytes(view))
                    else:
                        lent = self.written + len(view)
                    self._queue.append(view)
                    self.written += len(view)
                    self._changed.notify_all()
                self._wait_until_read(lent, timeout)
            except BaseException:
                # What was lent is the caller's again, and the rest makes no sense without it.
                self.break_off("broke off in the middle of a message")
                raise

    def read_into(self, view: memoryview, timeout: float) -> None:
        filled = 0
        with self._changed:
            while filled < len(view):
                if self._broken:
                    raise BrokenPipeError(self._broken)
                if self._queue:
                    filled += self._take(view[filled:])
                elif not self._ended:
                    self._wait(timeout)
                elif filled:
                    raise BrokenPipeError("was closed in the middle of a message")
                else:
                    raise EOFError

    def end(self) -> None:
        """No more is written; what is there can still be read."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def break_off(self, reason: str) -> None:
        """Neither end can use this direction any more; the first reason is kept."""
        with self._changed:
            self._broken = self._broken or reason
            self._queue.clear()
            self._changed.notify_all()

    def _take(self, room: memoryview) -> int:
        first = self._queue.popleft()
        size = min(len(first), len(room))
        room[:size] = first[:size]
        if size < len(first):
            self._queue.appendleft(first[size:])
        self.read += size
        self._changed.notify_all()
        return size

    def _wait_until_read(self, position: int, timeout: float) -> None:
        while True:
            if self._broken:
                raise BrokenPipeError(self._broken)
            if self._ended:
                raise BrokenPipeError("was closed for sending")
            if self.read >= position:
                return
            self._wait(timeout)

    def _wait(self, timeout: float) -> None:
        """Until bytes move or an end is reported; the other end notifies of nothing else."""
        if not self._changed.wait(timeout):
            raise TimeoutError
