"""Frames over one TCP connection, counted; the baselines' protocol is benchmark code and trusts its peer."""

from __future__ import annotations

import socket
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Buffer

_HEADER = struct.Struct("<BIQ")


class Kind(IntEnum):
    """What a frame holds."""

    HELLO = 0
    CHUNKED = 1
    LIST = 2
    LIST_END = 3
    TOKENS = 4
    TOKENS_END = 5
    COMMANDS = 6
    COPIES = 7
    LITERALS = 8
    DELTA_END = 9
    DONE = 10


class Frame(NamedTuple):
    kind: Kind
    entries: int
    payload: bytearray


class Link:
    """One peer. One thread sends at a time, one receives."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self.sent = self.received = 0

    def send(self, kind: Kind, *parts: Buffer, count: int = 0) -> None:
        views = [memoryview(part).cast("B") for part in parts]
        length = sum(view.nbytes for view in views)
        self._connection.sendall(_HEADER.pack(kind, count, length))
        for view in views:
            self._connection.sendall(view)
        self.sent += _HEADER.size + length

    def receive(self) -> Frame:
        """
        Raises:
            EOFError: the peer went away.
        """
        kind, count, length = _HEADER.unpack(self._exactly(_HEADER.size))
        payload = self._exactly(length)
        self.received += _HEADER.size + length
        return Frame(Kind(kind), count, payload)

    def expect(self, kind: Kind) -> Frame:
        """
        Raises:
            ValueError: another frame came.
        """
        frame = self.receive()
        if frame.kind is not kind:
            raise ValueError(f"{frame.kind.name} came instead of {kind.name}")
        return frame

    def _exactly(self, length: int) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while view.nbytes:
            got = self._connection.recv_into(view)
            if not got:
                raise EOFError
            view = view[got:]
        return data
