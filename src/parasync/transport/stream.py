"""The contract that every transport keeps; `tests/contract/test_transport.py` checks it for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Stream(Protocol):
    """An ordered, reliable stream of bytes in both directions.

    Any thread may send; one thread at a time receives. A send or receive that
    raised leaves the stream unusable in that direction: what was moved until
    then is unknown, so the caller can only `abort` or `close`.
    """

    idle_timeout: float
    """Seconds above 0. A call in which no byte moves for that long raises DeadlineError; slow progress does not.

    A change is in force from the next call.
    """

    @property
    def name(self) -> str:
        """The peer, for messages: "host:port" where it has one. Printable."""
        ...

    @property
    def round_trip(self) -> float:
        """Seconds that a byte takes to the peer and back, as far as the transport knows; 0 if it does not."""
        ...

    @property
    def backlog(self) -> int:
        """Bytes that `send` took and the transport could not pass on yet, as far as it knows; else 0."""
        ...

    @property
    def losses(self) -> int:
        """Packets that the link lost or let others overtake, as far as the transport knows; else 0. It never falls."""
        ...

    @property
    def bytes_sent(self) -> int: ...

    @property
    def bytes_received(self) -> int: ...

    def send(self, *buffers: Buffer) -> None:
        """Send all the bytes of all the buffers, in order, never interleaved with those of another call.

        The buffers may be reused once it returns. It may wait for the peer to receive.

        Raises:
            ConnectionLostError: the peer is gone, or this side was aborted, closed or closed for sending.
            DeadlineError: the peer took no byte for `idle_timeout` seconds.
        """
        ...

    def receive_into(self, view: memoryview) -> None:
        """Fill the writable, contiguous `view` completely.

        Raises:
            EOFError: the peer closed its sending before the first byte.
            ConnectionLostError: it did so later, or is gone, or this side was aborted or closed.
            DeadlineError: no byte came for `idle_timeout` seconds.
        """
        ...

    def close_sending(self) -> None:
        """Nothing more will be sent: the peer gets EOFError behind the last byte. Receiving goes on. Idempotent.

        Waits for a send of another thread to end.
        """
        ...

    def abort(self) -> None:
        """Give everything up at once, data in flight included; from any thread, at any time, idempotent.

        Calls in progress on either end are woken: they, and all later ones,
        raise ConnectionLostError (on the peer's end also EOFError).
        """
        ...

    def close(self) -> None:
        """Release the stream; the peer can still receive all that was sent. Idempotent.

        What the peer sent and nobody received is lost, and over TCP that loss
        may take along what the peer has not received yet: a side whose last
        words matter closes its sending and receives until EOFError first.
        """
        ...
