"""Where a server's lanes find their sessions."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from parasync.config import HANDSHAKE_SECONDS, MAX_LANES
from parasync.errors import ProtocolError, StartError

if TYPE_CHECKING:
    from parasync.session.lanes import Lanes
    from parasync.transport.stream import Stream


class Lobby:
    """The sessions that lanes may join, by their tokens."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, Lanes] = {}
        self._closed = False
        self._changed = threading.Condition()

    def host(self, token: bytes, lanes: Lanes) -> None:
        """Lanes that name `token` join this session, until `forget`.

        Raises:
            ProtocolError: another session has that token.
        """
        with self._changed:
            if token in self._sessions:
                raise ProtocolError("another session has this one's token")
            self._sessions[token] = lanes
            self._changed.notify_all()

    def forget(self, token: bytes, lanes: Lanes) -> None:
        """The session is over."""
        with self._changed:
            if self._sessions.get(token) is lanes:
                del self._sessions[token]

    def join(self, token: bytes, number: int, stream: Stream) -> None:
        """Hand a connection over to the session of `token`, which may be about to begin.

        Raises:
            StartError: there is no such session, or it does not want this lane.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or token in self._sessions, HANDSHAKE_SECONDS)
            lanes = self._sessions.get(token)
        if lanes is None or not 1 <= number <= MAX_LANES or not lanes.attach(number, stream):
            raise StartError(f"{stream.name} wants to join a session that is over or full")

    def close(self) -> None:
        """Nobody who waits for a session is let in any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
