"""Frames over one stream, checked against the protocol's states: the I/O side of `wire`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from parasync.config import KEEPALIVE_SECONDS, MAX_FRAME
from parasync.errors import ConnectionLostError, DeadlineError, ParaSyncError, ProtocolError, from_wire
from parasync.pipeline import Cancelled, Scope
from parasync.tracing import OFF, Tracer
from parasync.transport.stream import Stream
from parasync.wire import codec
from parasync.wire.messages import FrameType, Header
from parasync.wire.state import ProtocolState

if TYPE_CHECKING:
    from typing_extensions import Buffer

SPANS_PER_FRAME = 16384
"""Some 1 MiB."""

HANG_UP_SECONDS = 2.0
"""How long a side that reported an error waits for the peer to hang up, so that the report is not lost to a reset."""


class PeerGone(Cancelled):
    """A send failed. The thread ends quietly: the receiving thread knows the reason, which the peer may have sent."""


class Connection:
    """One peer. Any thread may send; one thread receives.

    That thread must never wait for a send of its own side to get through: both
    sides always read, so both sides' sends always end.
    """

    def __init__(self, stream: Stream, state: ProtocolState) -> None:
        self.stream = stream
        self._state = state
        self._header = bytearray(codec.HEADER_BYTES)
        self._sent = threading.Event()
        self._finished = threading.Event()
        self._reported = False
        self._told = False
        self._ending = False
        self._is_lane = False
        self._scope: Scope | None = None
        self._tracer: Tracer = OFF
        self._underway: dict[int, int] = {}

    def beside(self, stream: Stream) -> Connection:
        """Another connection of the same session: what it may carry depends on what went over all of them."""
        other = Connection(stream, self._state)
        other._tracer = self._tracer
        other._is_lane = True
        return other

    @property
    def load(self) -> int:
        """Bytes that are being sent or wait in this side's buffer."""
        return sum(list(self._underway.values())) + self.stream.backlog

    def send_preamble(self) -> None:
        self._send([codec.encode_preamble()])

    def receive_preamble(self) -> None:
        """Check that the peer speaks this protocol in this version.

        Raises:
            ProtocolError: it speaks something else.
            VersionError: it speaks another version.
        """
        data = bytearray(codec.PREAMBLE_BYTES)
        self._fill(memoryview(data))
        codec.check_preamble(bytes(data), self.stream.name)

    def send(self, kind: FrameType, *payload: Buffer, file: int = 0, count: int = 0, flags: int = 0) -> None:
        """Send one frame.

        Raises:
            PeerGone: the transport failed; the receiving thread will say why.
            Cancelled: another thread is telling the peer why this side gives up.
            ProtocolError: the protocol does not allow this frame now (a fault of this side).
        """
        length = sum(memoryview(part).nbytes for part in payload)
        thread = threading.get_ident()
        with self._tracer.span(f"send {kind.name.lower()}"):
            self._allow(kind)
            self._underway[thread] = length
            try:
                self._send([codec.encode_header(kind, flags, file, count, length), *payload])
            finally:
                del self._underway[thread]

    def _allow(self, kind: FrameType) -> None:
        try:
            self._state.on_send(kind)
        except ProtocolError:
            if self._state.gave_up:
                # No error of this thread: as one it would end the session before the peer has heard of the first.
                raise Cancelled from None
            raise

    def join(self, number: int, token: bytes) -> None:
        """Say that this is lane `number` of the session with this token: the first frame of a lane, and the only one
        that is not of the session's states.
        """
        self._send([codec.encode_header(FrameType.JOIN, 0, number, 0, len(token)), token])

    def receive(self) -> Header:
        """The next frame's header; keep-alives are swallowed.

        Raises:
            ConnectionLostError: the peer went away.
            DeadlineError: the peer was silent for too long.
            ProtocolError: the frame is not allowed.
            ParaSyncError: the error that the peer reported.
        """
        while True:
            self._fill(memoryview(self._header))
            header = codec.decode_header(bytes(self._header), MAX_FRAME)
            if header.type is FrameType.ERROR and self._is_lane:
                # The session goes on, or has just ended well: what ends it comes over its first connection.
                raise ConnectionLostError(f"{self.stream.name} refused a lane")
            self._state.on_receive(header.type)
            if header.type is FrameType.ERROR:
                self._told = True
                report = codec.decode_error(self.payload(header))
                raise from_wire(report.code, f"{report.text} (reported by {self.stream.name})")
            if header.type is not FrameType.KEEPALIVE:
                return header

    def payload(self, header: Header) -> bytearray:
        """The whole payload of the frame just announced."""
        data = bytearray(header.length)
        self.payload_into(memoryview(data))
        return data

    def payload_into(self, view: memoryview) -> None:
        """Part of the payload of the frame just announced, straight into `view`."""
        if len(view):
            with self._tracer.span("receive"):
                self._fill(view)

    def report(self, error: BaseException) -> None:
        """Tell the peer why this side gives up; does nothing if the peer told us or is gone."""
        if self._told or isinstance(error, (ConnectionLostError, DeadlineError, KeyboardInterrupt, SystemExit)):
            return
        if not isinstance(error, ParaSyncError):
            error = ParaSyncError("an unexpected failure there; its own messages say why")
        try:
            self.send(FrameType.ERROR, codec.encode_error(error.code, str(error), error.retryable))
            self.stream.close_sending()
            self._reported = True
        except (Cancelled, ParaSyncError, OSError):
            return

    def watch(self, scope: Scope, tracer: Tracer) -> None:
        """Keep the connection alive while `scope` lives, and end it when the scope is cancelled."""
        self._tracer = tracer
        self._scope = scope
        scope.on_cancel(self._finished.set)
        scope.on_cancel(self._hang_up)

        def beat() -> None:
            while not self._finished.wait(KEEPALIVE_SECONDS):
                scope.check()
                if not self._sent.is_set():
                    self._keep_alive()
                self._sent.clear()

        scope.spawn(beat, name="keepalive")

    def _keep_alive(self) -> None:
        with suppress(ProtocolError):  # the last frame went out just now: nothing is to be kept alive
            self.send(FrameType.KEEPALIVE)

    def finished(self) -> None:
        """The session ended well: no keep-alive follows."""
        self._finished.set()

    def converse(self, scope: Scope, target: Callable[[], None]) -> None:
        """Run the receiving thread's `target`.

        After an error of this side was reported, it goes on reading until the
        peer hangs up: closing with unread data would reset the connection, and
        the peer might never see the report.
        """
        try:
            target()
        except Exception as error:  # noqa: BLE001 - the scope raises it again
            scope.cancel(error)
            self._drain()
        except Cancelled:
            self._drain()

    def refuse(self, error: ParaSyncError) -> None:
        """Tell the peer, outside of any scope, that there will be no session, and why."""
        self.report(error)
        self._hang_up()
        self._drain()

    def _drain(self) -> None:
        scrap = memoryview(bytearray(1))
        while self._reported:
            try:
                self.stream.receive_into(scrap)
            except (EOFError, ParaSyncError):
                return

    def _end_soon(self, error: ConnectionLostError) -> None:
        """A send failed. The receiving thread gets a while to find out why, unless it waits for a thread that sent."""
        if self._scope is not None and not self._ending:
            self._ending = True
            timer = threading.Timer(HANG_UP_SECONDS, self._scope.cancel, [error])
            timer.daemon = True
            timer.start()

    def _hang_up(self) -> None:
        if self._reported:
            timer = threading.Timer(HANG_UP_SECONDS, self.stream.abort)
            timer.daemon = True
            timer.start()
        else:
            self.stream.abort()

    def _send(self, parts: Sequence[Buffer]) -> None:
        try:
            self.stream.send(*parts)
        except ConnectionLostError as error:
            self._end_soon(error)
            raise PeerGone from error
        self._sent.set()

    def _fill(self, view: memoryview) -> None:
        try:
            self.stream.receive_into(view)
        except EOFError:
            raise ConnectionLostError(
                f"{self.stream.name} closed the connection before the end: its own messages may say why; run again"
            ) from None


def send_spans(connection: Connection, tracer: Tracer) -> None:
    """Tell the peer what this side did when."""
    for start in range(0, len(tracer.spans), SPANS_PER_FRAME):
        part = tracer.spans[start : start + SPANS_PER_FRAME]
        connection.send(FrameType.TRACE, codec.encode_spans(part), count=len(part))


def unexpected(header: Header) -> ProtocolError:
    """A frame that the states allow but this point of the session does not."""
    return ProtocolError(f"unexpected {header.type.name} frame for file {header.file}")
