"""A connection to where a location says, begun at once and finished when somebody is ready to use it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from parasync.config import CONNECT_SECONDS, LANE_CONNECT_SECONDS, MAGIC
from parasync.errors import UsageError
from parasync.location import Location
from parasync.model import Monitor
from parasync.options import Options
from parasync.transport.stream import Stream
from parasync.transport.tcp import Connecting, connect

if TYPE_CHECKING:
    from parasync.transport.ssh import SshStream


UnderWay: TypeAlias = "Connecting | SshStream"
"""A connection that was begun before it was known whether it is wanted."""


def _give_up(begun: UnderWay | None) -> None:
    if begun is not None:
        begun.close()


class Dialling:
    """By ssh, or to a server; the event "connected" is emitted when the other side is there.

    If it is to where a connection is on its way already (`begun`), that one is used; else it is given up.
    A context, which leaves nothing behind: the stream of `finish` is closed and its bytes are counted.

    Raises:
        ParaSyncError: from the constructor and `finish`: it cannot be reached, or not in that way.
    """

    def __init__(self, location: Location, options: Options, monitor: Monitor, begun: UnderWay | None = None) -> None:
        self._location = location
        self._options = options
        self._monitor = monitor
        self._connecting: Connecting | None = None
        self._stream: Stream | None = None
        if location.is_ssh:
            self._stream = self._by_shell(begun)
        elif isinstance(begun, Connecting) and begun.to == (location.host, location.port):
            self._connecting = begun
        else:
            _give_up(begun)
            self._connecting = Connecting(location.host, location.port)

    def _by_shell(self, begun: UnderWay | None) -> Stream:
        from parasync.transport.ssh import Shell, SshStream  # noqa: PLC0415 - other syncs start no process

        if self._options.streams > 1:
            raise UsageError("--streams is for parasync:// only: ssh carries a session over one connection")
        shell = Shell.parse(self._location.host, self._options.rsh, self._options.remote_path)
        if isinstance(begun, SshStream) and begun.shell == shell:
            stream = begun
        else:
            _give_up(begun)
            stream = SshStream(shell, MAGIC)
        stream.expect(lambda: self._monitor.emit("connected"), self._options.timeout)
        return stream

    def __enter__(self) -> Dialling:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connecting is not None:
            self._connecting.close()
        if self._stream is not None:
            self._stream.close()
            self._monitor.add(bytes_sent=self._stream.bytes_sent, bytes_received=self._stream.bytes_received)

    @property
    def distant(self) -> bool:
        """Whether bytes cost more than computing on the way there, as far as that is known before it is finished."""
        return self._connecting is not None and self._connecting.distant

    def finish(self) -> Stream:
        """The stream; through a remote shell it may only begin to come up."""
        if self._connecting is not None:
            self._stream = stream = self._connecting.finish(min(CONNECT_SECONDS, self._options.timeout))
            self._connecting = None
            stream.idle_timeout = self._options.timeout
            self._monitor.emit("connected")
        if self._stream is None:
            raise ValueError("there is no connection to finish")
        return self._stream

    @property
    def another(self) -> Callable[[], Stream] | None:
        """How to get one more connection to the same place; None where there is only one."""
        if self._location.is_ssh:
            return None
        return partial(connect, self._location.host, self._location.port, LANE_CONNECT_SECONDS)
