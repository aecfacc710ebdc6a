"""What may follow what: the protocol as a transition table, without I/O.

Each side's sending is an automaton of its own, so the side itself (for what it
sends) and its peer (for what it receives) read the same table. Little depends
on the other direction: see `_AFTER`. What depends on single files (no literal
that was not asked for) is the session's to check.
"""

from __future__ import annotations

import threading
from enum import Enum
from typing import Literal

from parasync.errors import ProtocolError
from parasync.wire.messages import FrameType

Role = Literal["sender", "receiver"]


class Phase(Enum):
    """How far one side's sending has come. The values complete "not allowed ..."."""

    GREETING = "before the greeting"
    LISTING = "while entries are being sent"
    CONTENT = "after the last entry"
    ANSWERING = "from the receiver of files"
    FINISHED = "after FINISH"
    CLOSED = "after the end"


T = FrameType
_Table = dict[Phase, dict[FrameType, Phase]]


def _stay(phase: Phase, *types: FrameType) -> dict[FrameType, Phase]:
    return dict.fromkeys(types, phase)


_CONTENT_FRAMES = (
    *(T.SMALL, T.CHUNKS, T.WEAK, T.COPIES, T.LITERAL),
    *(T.FILE_END, T.FILE_FAILED, T.LANE_LOST, T.KEEPALIVE),
)
_ANSWERS = (T.NEEDS, T.WANTS, T.TOKENS, T.FILES_DONE, T.FILE_FAILED, T.LANE_LOST, T.TRACE, T.KEEPALIVE)

_SENDER: _Table = {
    Phase.LISTING: {
        **_stay(Phase.LISTING, T.ENTRIES, *_CONTENT_FRAMES),
        T.ENTRIES_END: Phase.CONTENT,
        T.ERROR: Phase.CLOSED,
    },
    Phase.CONTENT: {
        **_stay(Phase.CONTENT, *_CONTENT_FRAMES),
        T.TRACE: Phase.CONTENT,
        T.BYE: Phase.CLOSED,
        T.ERROR: Phase.CLOSED,
    },
    Phase.CLOSED: {},
}
"""[state.sender] What the sender of files sends after its greeting."""

_RECEIVER: _Table = {
    Phase.ANSWERING: {
        **_stay(Phase.ANSWERING, *_ANSWERS),
        T.FINISH: Phase.FINISHED,
        T.ERROR: Phase.CLOSED,
    },
    Phase.FINISHED: {
        **_stay(Phase.FINISHED, T.KEEPALIVE),
        T.ERROR: Phase.CLOSED,
    },
    Phase.CLOSED: {},
}
"""[state.receiver] What the receiver of files sends after its greeting."""

_AFTER: dict[FrameType, FrameType] = {
    T.WELCOME: T.HELLO,
    T.NEEDS: T.ENTRIES,
    T.WANTS: T.CHUNKS,
    T.TOKENS: T.WEAK,
    T.COPIES: T.TOKENS,
    T.FINISH: T.ENTRIES_END,
    T.BYE: T.FINISH,
}
"""[state.after] A frame of this type is allowed only once one of that type went the other way."""


def _table(role: Role, client: bool) -> _Table:
    after_greeting = Phase.LISTING if role == "sender" else Phase.ANSWERING
    greeting = T.HELLO if client else T.WELCOME
    start = {greeting: after_greeting, T.ERROR: Phase.CLOSED}
    if client:
        start[T.JOIN] = Phase.CLOSED  # what follows is of the session that is joined
    return {Phase.GREETING: start, **(_SENDER if role == "sender" else _RECEIVER)}


class _Direction:
    """What one side has sent so far."""

    def __init__(self, role: Role, client: bool, subject: str) -> None:
        self._subject = subject
        self._table = _table(role, client)
        self._phase = Phase.GREETING
        self.seen: set[FrameType] = set()

    def advance(self, kind: FrameType, other: _Direction) -> None:
        following = self._table[self._phase].get(kind)
        if following is None:
            raise ProtocolError(f"{self._subject} a {kind.name} frame, which is not allowed {self._phase.value}")
        needed = _AFTER.get(kind)
        if needed is not None and needed not in other.seen:
            raise ProtocolError(f"{self._subject} a {kind.name} frame, which is not allowed before {needed.name}")
        self._phase = following
        self.seen.add(kind)


class ProtocolState:
    """One side of one session; any thread may send, another receives.

    `role` is this side's. A server learns its role from HELLO: it reads that
    frame first, makes the state the greeting asks for and has it receive it.
    """

    def __init__(self, role: Role, client: bool) -> None:
        peer: Role = "receiver" if role == "sender" else "sender"
        self._sent = _Direction(role, client, "this side would send")
        self._received = _Direction(peer, not client, "the peer sent")
        self._lock = threading.Lock()

    @property
    def gave_up(self) -> bool:
        """Whether this side sent ERROR: nothing of it follows."""
        return FrameType.ERROR in self._sent.seen

    def on_send(self, kind: FrameType) -> None:
        """A frame of this type is about to be sent.

        Raises:
            ProtocolError: it is not allowed now; the state is as before.
        """
        with self._lock:
            self._sent.advance(kind, self._received)

    def on_receive(self, kind: FrameType) -> None:
        """A frame of this type has arrived.

        Raises:
            ProtocolError: the peer must not send it now; the state is as before.
        """
        with self._lock:
            self._received.advance(kind, self._sent)
