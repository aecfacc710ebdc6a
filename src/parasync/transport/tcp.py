"""TCP: connecting, listening, and the stream over a connected socket.

Sockets block, with the kernel's own time-outs (SO_RCVTIMEO, SO_SNDTIMEO):
Python's would cost a poll before each call and split MSG_WAITALL reads.
Buffer sizes are left to the kernel, which adapts them to the link.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from parasync.config import DISTANT_SECONDS, INTERRUPT_SECONDS, STALL_SECONDS
from parasync.errors import (
    ConnectDeadlineError,
    ConnectionLostError,
    DeadlineError,
    StartError,
    UsageError,
    display,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

BUFFERS_PER_CALL = os.sysconf("SC_IOV_MAX")
BACKLOG = 128

_RTT_OFFSET = 68
"""Of tcpi_rtt, microseconds, in Linux's struct tcp_info."""
_LOSS_OFFSETS = (100, 224)
"""Of tcpi_total_retrans, what this side sent again, and tcpi_rcv_ooopack, what came out of order."""
_SIOCOUTQNSD = 0x894B
"""Linux: bytes in the send queue that were not sent even once."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def format_address(host: str, port: int) -> str:
    """ "host:port" for messages, an IPv6 address in brackets."""
    return f"[{display(host)}]:{port}" if ":" in host else f"{display(host)}:{port}"


class Connecting:
    """A connection on its way: the first address of `host` is being tried while the caller does something else.

    Looking up the name is outside of all timeouts: the system's resolver has its own.

    Raises:
        ConnectionLostError: from the constructor: the name is unknown.
        UsageError: from the constructor: the port is out of range.
    """

    def __init__(self, host: str, port: int) -> None:
        self.to = host, port
        self._name = format_address(host, port)
        self._addresses = _resolve(host, port, f"connect to {self._name}")
        self._reasons: list[str] = []
        self._socket: socket.socket | None = None
        self._distant: bool | None = None
        self._begun = time.monotonic()
        self._begin_next()

    @property
    def distant(self) -> bool:
        """Whether the other side takes longer to answer than over a local network; known after DISTANT_SECONDS."""
        if self._distant is None:
            self._distant = not self._answers(self._begun + DISTANT_SECONDS - time.monotonic())
        return self._distant

    def finish(self, timeout: float) -> SocketStream:
        """The connection to the first address that answers; each gets its share of `timeout` seconds from now on.

        Raises:
            ConnectDeadlineError: no address answered in time.
            ConnectionLostError: an address refused and none accepted.
        """
        deadline = time.monotonic() + timeout
        silent = False
        while self._socket is not None:
            share = (deadline - time.monotonic()) / (len(self._addresses) + 1)
            answered = self._answers(share)
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not answered or code == errno.ETIMEDOUT:
                silent = True
            elif code:
                self._reasons.append(os.strerror(code))
            else:
                connected, self._socket = self._socket, None
                return SocketStream(connected, self._name)
            self.close()
            self._begin_next()
        if silent and not self._reasons:
            raise ConnectDeadlineError(
                f"cannot connect to {self._name}: no answer within {timeout:g} seconds "
                "(is the host up, does a firewall drop it?)"
            )
        reasons = ", ".join(dict.fromkeys(self._reasons))
        raise ConnectionLostError(
            f"cannot connect to {self._name}: {reasons} (is the server running, is the port right?)"
        )

    def _answers(self, seconds: float) -> bool:
        """Whether the address that is being tried says yes or no within so many seconds."""
        poll = select.poll()
        if self._socket is not None:
            poll.register(self._socket, select.POLLOUT)
        return bool(poll.poll(max(1, 1000 * seconds)))

    def close(self) -> None:
        """Give up what is not finished. Idempotent."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _begin_next(self) -> None:
        while self._addresses:
            family, address = self._addresses.pop(0)
            try:
                self._socket = socket.socket(family, socket.SOCK_STREAM)
                self._socket.setblocking(False)
                code = self._socket.connect_ex(address)
            except OSError as error:
                self._reasons.append(_reason(error))
            else:
                if code in {0, errno.EINPROGRESS}:
                    return
                self._reasons.append(os.strerror(code))
            self.close()


def connect(host: str, port: int, timeout: float) -> SocketStream:
    """A connection to `host`, within `timeout` seconds; see `Connecting` for what it raises."""
    connecting = Connecting(host, port)
    try:
        return connecting.finish(timeout)
    finally:
        connecting.close()


class Listener:
    """A listening socket. `host` is a name or an address; "" is every address of this machine.

    Raises:
        ConnectionLostError: from the constructor, if the name is unknown.
        StartError: from the constructor, if the address cannot be listened on.
        UsageError: from the constructor, if the port is out of range.
    """

    def __init__(self, host: str, port: int) -> None:
        self._closed = False
        self._accepting = threading.RLock()
        wildcard = not host and socket.has_dualstack_ipv6()
        name = format_address(host or "*", port)
        family, address = _resolve("::" if wildcard else host, port, f"listen on {name}")[0]
        try:
            self._socket = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=wildcard)
        except OSError as error:
            raise StartError(
                f"cannot listen on {name}: {_reason(error)} (choose another address or port, or stop what uses it)"
            ) from error
        self._socket.settimeout(INTERRUPT_SECONDS)
        self._address: tuple[str, int] = self._socket.getsockname()[:2]

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) as bound: port 0 has become a real one."""
        return self._address

    def accept(self) -> SocketStream:
        """The next connection.

        Raises:
            ConnectionLostError: it cannot be taken now (out of descriptors or memory); a later one may.
            EOFError: the listener was closed.
        """
        with self._accepting:
            while True:
                try:
                    connected, peer = self._socket.accept()
                    return SocketStream(connected, format_address(peer[0].removeprefix("::ffff:"), peer[1]))
                except ConnectionError:
                    continue  # that client gave up while it waited in line
                except TimeoutError:
                    continue
                except OSError as error:
                    if self._closed:
                        raise EOFError from None
                    raise ConnectionLostError(
                        f"cannot accept a connection: {_reason(error)} (is the limit of open files reached?)"
                    ) from error

    def close(self) -> None:
        """Stop listening; a waiting `accept` is woken. From any thread, idempotent."""
        self._closed = True
        _wake(self._socket)
        with self._accepting:
            self._socket.close()


class SocketStream:
    """A connected, blocking stream socket, which it owns; see `Stream`."""

    def __init__(self, connected: socket.socket, name: str, idle_timeout: float = STALL_SECONDS) -> None:
        self._socket = connected
        self._name = name
        self._bytes_sent = 0
        self._bytes_received = 0
        # Reentrant, so that a signal handler may abort while its own thread sends or receives.
        self._sending = threading.RLock()
        self._receiving = threading.RLock()
        self._gone = ""
        self._torn = False
        connected.settimeout(None)
        if connected.family in (socket.AF_INET, socket.AF_INET6):
            with suppress(OSError):  # as in idle_timeout
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.idle_timeout = idle_timeout

    @property
    def name(self) -> str:
        return self._name

    @property
    def round_trip(self) -> float:
        return self._tcp_info(_RTT_OFFSET) / 1e6

    @property
    def backlog(self) -> int:
        unsent = bytearray(4)
        with suppress(OSError, ValueError):  # a closed one has none
            fcntl.ioctl(self._socket.fileno(), _SIOCOUTQNSD, unsent)
        return int.from_bytes(unsent, sys.byteorder)

    @property
    def losses(self) -> int:
        return sum(self._tcp_info(offset) for offset in _LOSS_OFFSETS)

    @property
    def bytes_sent(self) -> int:
        return self._bytes_sent

    @property
    def bytes_received(self) -> int:
        return self._bytes_received

    @property
    def idle_timeout(self) -> float:
        return self._idle_timeout

    @idle_timeout.setter
    def idle_timeout(self, seconds: float) -> None:
        microseconds = max(1, round(seconds * 1e6))
        option = struct.pack("@ll", *divmod(microseconds, 1_000_000))
        with suppress(OSError):  # a lost connection is reported by the call that needs it
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, option)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, option)
        self._idle_timeout = seconds

    def send(self, *buffers: Buffer) -> None:
        views = [view for view in (memoryview(buffer).cast("B") for buffer in buffers) if view]
        with self._sending:
            if self._gone or self._torn:
                raise self._lost("an earlier message could not be sent completely")
            self._torn = True
            start = 0
            while start < len(views):
                start = advance(views, start, self._send_some(views[start : start + BUFFERS_PER_CALL]))
            self._torn = False

    def receive_into(self, view: memoryview) -> None:
        view = view.cast("B")
        filled = 0
        with self._receiving:
            if self._gone:
                raise self._lost(self._gone)
            while filled < len(view):
                size = self._receive_some(view[filled:])
                if not size and not filled and not self._gone:
                    raise EOFError
                if not size:
                    raise self._lost("closed in the middle of a message")
                filled += size
                self._bytes_received += size

    def close_sending(self) -> None:
        with self._sending, suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        self._gone = self._gone or "it was aborted"
        with suppress(OSError):
            # Shutting down wakes this side only; a peer that waits to send is woken by the reset.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.close()

    def close(self) -> None:
        self._gone = self._gone or "it was closed"
        _wake(self._socket)
        # The descriptor must not be closed, and its number used again, under a call of another thread. Such a call
        # was just woken, and no new one begins: each lock is free soon, and they are never held together.
        with self._sending:
            pass
        with self._receiving:
            self._socket.close()

    def _tcp_info(self, offset: int) -> int:
        """A 32-bit field; 0 if this is not TCP, or the system does not know it."""
        with suppress(OSError, struct.error):
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, offset + 4)
            return int(struct.unpack_from("@I", info, offset)[0])
        return 0

    def _send_some(self, views: Sequence[memoryview]) -> int:
        try:
            size = self._socket.sendmsg(views, (), socket.MSG_NOSIGNAL)
        except BlockingIOError:
            raise DeadlineError(
                f"{self._name} took no data for {self._idle_timeout:g} seconds (stalled? --timeout allows more)"
            ) from None
        except OSError as error:
            raise self._lost(_reason(error)) from error
        self._bytes_sent += size
        return size

    def _receive_some(self, view: memoryview) -> int:
        try:
            return self._socket.recv_into(view, 0, socket.MSG_WAITALL)
        except BlockingIOError:
            raise DeadlineError(
                f"{self._name} sent nothing for {self._idle_timeout:g} seconds (stalled? --timeout allows more)"
            ) from None
        except OSError as error:
            raise self._lost(_reason(error)) from error

    def _lost(self, reason: str) -> ConnectionLostError:
        return ConnectionLostError(f"lost the connection to {self._name}: {self._gone or reason}")


def advance(views: list[memoryview], start: int, size: int) -> int:
    """Where to go on after `size` bytes of views[start:] were sent; a view sent in part is cut."""
    while start < len(views) and size >= len(views[start]):
        size -= len(views[start])
        start += 1
    if size:
        views[start] = views[start][size:]
    return start


def _resolve(host: str, port: int, purpose: str) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    if not 0 <= port <= 65535:
        raise UsageError(f"cannot {purpose}: a port is a number up to 65535")
    flags = socket.AI_PASSIVE if not host else 0
    try:
        # As bytes, a plain name does not load the rules for others, which takes 2 ms.
        name = host.encode() if host.isascii() else host
        found = socket.getaddrinfo(name or None, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, ValueError) as error:
        reason = _reason(error) if isinstance(error, OSError) else "not a host name"
        raise ConnectionLostError(f"cannot {purpose}: {reason} (check the host name)") from error
    return [(family, address) for family, _, _, _, address in found]


def _wake(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def _reason(error: OSError) -> str:
    """The system's words; `socket.gaierror` and `create_server` put their own into the exception."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
