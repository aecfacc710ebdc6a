"""Lanes: further connections of a session, which carry content beside the first.

A connection that begins is slow: it doubles its rate once a round trip. Several
begin together, and one that loses a packet does not slow the others down. Only
LITERAL and CHUNKS frames use lanes: each says where its content belongs, so it
does not matter over which connection, or in which order, they arrive.

The client opens lanes and names the session by the token of its HELLO. Each
side counts the frames of a lane. When it is lost, the receiver of files tells
how many it got, and the sender sends the rest again over the others: a lost
lane does not lose the session. What it has to remember for that is bounded.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from parasync.config import (
    KEEPALIVE_SECONDS,
    LANE_FRAMES,
    LANE_PIECE_BYTES,
    LITERAL_BYTES,
    LOSS_POLL_SECONDS,
)
from parasync.errors import ConnectionLostError, DeadlineError, ParaSyncError, ProtocolError
from parasync.session.connection import Connection, PeerGone
from parasync.session.losses import LossWatch
from parasync.wire.messages import FrameType

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from parasync.pipeline import Scope
    from parasync.transport.stream import Stream


class Redo(NamedTuple):
    """A frame that is sent again if its lane is lost, unless its file is `done` by then.

    `again` may wait for the send, so it is not for the receiving thread.
    """

    again: Callable[[], None]
    done: Callable[[], bool]


class Lane:
    """One further connection. `number` is the client's name for it, from 1."""

    def __init__(self, number: int, connection: Connection) -> None:
        self.number = number
        self.connection = connection
        self.lost = False
        self.frames_received = 0
        self._sent: deque[Redo] = deque()
        self._forgotten = 0
        self._lock = threading.Lock()
        self._book = threading.Lock()

    @property
    def full(self) -> bool:
        """Whether it remembers so much that nothing more is sent over it for now."""
        if len(self._sent) < LANE_FRAMES:
            return False
        self._forget_done()
        return len(self._sent) >= LANE_FRAMES

    def send(self, redo: Redo, kind: FrameType, *payload: Buffer, file: int, count: int, flags: int = 0) -> bool:
        """Send one frame, and remember how to do it again; False if the lane was lost before, or is full.

        If it is lost now, the frame is sent again when the peer has told how many it got.

        Raises:
            LaneLostError: it is lost now; the peer has to be told.
        """
        with self._lock:
            if self.lost or self.full:
                return False
            self._forget_done()
            self._sent.append(redo)
            self._pass(kind, *payload, file=file, count=count, flags=flags)
        return True

    def keep_alive(self) -> None:
        """Show that the lane is there, unless it is being used. Raises like `send`."""
        if self._lock.acquire(blocking=False):
            try:
                if not self.lost:
                    self._pass(FrameType.KEEPALIVE)
            finally:
                self._lock.release()

    def not_received(self, received: int) -> list[Redo]:
        """What the peer did not get, after it got `received` frames; the lane carries nothing any more.

        Raises:
            ProtocolError: it cannot have got so many.
        """
        self.connection.stream.abort()  # wakes whoever sends and has the lock
        with self._lock, self._book:
            self.lost = True
            sent = self._forgotten + len(self._sent)
            if received > sent:
                raise ProtocolError(f"{received} frames of lane {self.number}, over which {sent} were sent")
            rest = list(self._sent)[max(0, received - self._forgotten) :]
            self._sent.clear()
        return [redo for redo in rest if not redo.done()]

    def _forget_done(self) -> None:
        with self._book:
            while self._sent and self._sent[0].done():
                self._sent.popleft()
                self._forgotten += 1

    def _pass(self, kind: FrameType, *payload: Buffer, file: int = 0, count: int = 0, flags: int = 0) -> None:
        try:
            self.connection.send(kind, *payload, file=file, count=count, flags=flags)
        except (PeerGone, DeadlineError) as error:
            self.lost = True
            raise LaneLostError(f"lane {self.number} was lost") from error


class LaneLostError(Exception):
    """A lane took no frame any more."""


class Lanes:
    """The lanes of one session, in the order in which they came, beside its first connection.

    `opener` makes one more connection to the same server; only a client has one. It opens `wanted` lanes at once, and
    `reserve` more when the link turns out to lose packets.
    """

    def __init__(
        self,
        main: Connection,
        token: bytes = b"",
        wanted: int = 0,
        reserve: int = 0,
        opener: Callable[[], Stream] | None = None,
    ) -> None:
        self.main = main
        self._token = token
        self._wanted = wanted
        self._reserve = reserve
        self.expected = bool(token)
        """Whether there may be lanes."""
        self._opener = opener
        self._lanes: dict[int, Lane] = {}
        self._gone: set[int] = set()
        self._attached: Callable[[Lane], None] | None = None
        self._scope: Scope | None = None
        self._ended = False
        self._over = threading.Event()
        self._sent = 0
        self._lock = threading.Lock()

    # -- beginning and end ------------------------------------------------------------------------

    def open(self, scope: Scope) -> None:
        """A client opens the lanes it wants, while it waits for the greeting: a connection takes a round trip, too."""
        scope.on_cancel(self.end)
        self._open_all(scope, range(1, self._wanted + 1))

    def start(self, scope: Scope, attached: Callable[[Lane], None]) -> None:
        """From now on `attached` gets every lane, those that are there already first."""
        with self._lock:
            self._scope, self._attached = scope, attached
            waiting = list(self._lanes.values())
        for lane in waiting:
            attached(lane)
        if self._reserve:
            scope.spawn(self._watch, scope, name="losses")

    def keep_alive(self, scope: Scope) -> None:
        """The sender's thread that lets an idle lane be told from a lost one, until the session ends."""
        while not self._over.wait(KEEPALIVE_SECONDS):
            scope.check()
            for lane in self._alive():
                try:
                    lane.keep_alive()
                except LaneLostError:
                    self.tell_lost(lane)

    def attach(self, number: int, stream: Stream) -> bool:
        """Take over a connection that joins this session as lane `number`; False if it is not wanted."""
        lane = Lane(number, self.main.beside(stream))
        with self._lock:
            if self._ended or number in self._lanes or number in self._gone:
                return False
            self._lanes[number] = lane
            attached = self._attached
        stream.idle_timeout = self.main.stream.idle_timeout
        if attached is not None:
            attached(lane)
        return True

    def end(self) -> None:
        """Give up all lanes: the session is over, well or not. Idempotent."""
        with self._lock:
            self._ended = True
            lanes = list(self._lanes.values())
        self._over.set()
        for lane in lanes:
            lane.connection.stream.abort()

    def close(self) -> tuple[int, int]:
        """Release all; (bytes sent, bytes received) over them."""
        self.end()
        with self._lock:
            streams = [lane.connection.stream for lane in self._lanes.values()]
        for stream in streams:
            stream.close()
        return sum(stream.bytes_sent for stream in streams), sum(stream.bytes_received for stream in streams)

    def _watch(self, scope: Scope) -> None:
        """A client's thread, until the session ends or the reserve is needed."""
        watch, stream = LossWatch(), self.main.stream
        while not self._over.wait(LOSS_POLL_SECONDS):
            scope.check()
            passed = stream.bytes_sent + stream.bytes_received - stream.backlog
            if watch.lossy(time.monotonic(), stream.round_trip, stream.losses, passed):
                self._open_all(scope, range(self._wanted + 1, self._wanted + self._reserve + 1))
                return

    def _open_all(self, scope: Scope, numbers: range) -> None:
        for number in numbers:
            scope.spawn(self._open, number, name=f"lane{number}")

    def _open(self, number: int) -> None:
        if self._opener is None:
            return
        # Without this lane the session goes on as well, with one fewer.
        with suppress(ParaSyncError, PeerGone):
            stream = self._opener()
            joined = False
            try:
                joining = self.main.beside(stream)
                joining.send_preamble()
                joining.join(number, self._token)
                joined = self.attach(number, stream)
            finally:
                if not joined:
                    stream.close()

    # -- the sender of files ------------------------------------------------------------------------

    def send(self, redo: Redo, kind: FrameType, *payload: Buffer, file: int, count: int) -> None:
        """Send a frame over the connection that has least to send."""
        lane = self._idlest()
        while lane is not None and not self.send_over(lane, redo, kind, *payload, file=file, count=count):
            lane = self._idlest()
        if lane is None:
            self.main.send(kind, *payload, file=file, count=count)

    def send_over(
        self, lane: Lane, redo: Redo, kind: FrameType, *payload: Buffer, file: int, count: int, flags: int = 0
    ) -> bool:
        """Send a frame over this lane; False if it was lost before, or is full. If it is lost now, `redo` has it sent
        again.
        """
        try:
            return lane.send(redo, kind, *payload, file=file, count=count, flags=flags)
        except LaneLostError:
            self.tell_lost(lane)
            return True

    def tell_lost(self, lane: Lane) -> None:
        """A lane takes no frame any more: the peer is to say what it got."""
        lane.connection.stream.abort()
        with suppress(ProtocolError):  # the session ended just now: nothing is missing
            self.main.send(FrameType.LANE_LOST, file=lane.number)

    def not_received(self, number: int, received: int) -> list[Redo]:
        """The receiver lost lane `number` after `received` frames: how to send the others again."""
        with self._lock:
            self._gone.add(number)
            lane = self._lanes.get(number)
        return lane.not_received(received) if lane is not None else []

    def send_again(self, frames: list[Redo]) -> None:
        """Send these; one thread for all of them, since the peer says how many they are."""
        for redo in frames:
            redo.again()

    @property
    def piece_bytes(self) -> int:
        """Literal bytes for one frame: little enough, where there are lanes, that all have as much to do."""
        return LANE_PIECE_BYTES if self._wanted or self._lanes else LITERAL_BYTES

    @property
    def bytes_sent(self) -> int:
        return self.main.stream.bytes_sent + sum(lane.connection.stream.bytes_sent for lane in self._alive())

    @property
    def backlog(self) -> int:
        return self.main.stream.backlog + sum(lane.connection.stream.backlog for lane in self._alive())

    def _alive(self) -> list[Lane]:
        with self._lock:
            return [lane for lane in self._lanes.values() if not lane.lost]

    def _idlest(self) -> Lane | None:
        """The lane with the least to send, None if the first connection has less. Turns decide between equals."""
        lanes = [lane for lane in self._alive() if not lane.full]
        if not lanes:
            return None
        self._sent += 1
        turn = self._sent % (len(lanes) + 1)
        order: list[Lane | None] = [None, *lanes]
        return min(order[turn:] + order[:turn], key=self._load)

    def _load(self, lane: Lane | None) -> int:
        connection = self.main if lane is None else lane.connection
        return connection.load

    # -- the receiver of files ------------------------------------------------------------------------

    def receive(self, lane: Lane, handle: Callable[[], None]) -> None:
        """Run a lane's receiving thread: `handle` one frame after the other, until the lane or the session ends."""
        try:
            if self._opener is not None:
                lane.connection.receive_preamble()
            while True:
                handle()
                lane.frames_received += 1
        except (ConnectionLostError, DeadlineError):
            pass
        with self._lock:
            over, lane.lost = self._ended, True
        if not over:
            lane.connection.stream.abort()
            with suppress(ProtocolError):  # all files are done: nothing is missing
                self.main.send(FrameType.LANE_LOST, file=lane.number, count=lane.frames_received)

    def settle(self) -> None:
        """Everything has come: a lane that ends from now on is not lost."""
        with self._lock:
            self._ended = True
        self._over.set()

    def give_up(self, number: int) -> None:
        """The sender cannot use lane `number`; its receiving thread, if there is one, tells what it got."""
        with self._lock:
            told = number in self._gone
            self._gone.add(number)
            lane, scope = self._lanes.get(number), self._scope
        if lane is not None:
            lane.connection.stream.abort()
        elif scope is not None and not told:  # it never came
            scope.spawn(partial(self.main.send, FrameType.LANE_LOST, file=number), name=f"lane{number}")
