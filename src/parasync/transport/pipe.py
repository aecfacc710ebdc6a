"""Pipes: the stream over two file descriptors, as a program is given them by whoever started it.

The descriptors do not block. A call that cannot go on polls its descriptor
together with an event that `abort` and `close` set.
"""

from __future__ import annotations

import fcntl
import math
import os
import select
import socket
import stat
import sys
import termios
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from parasync.config import KIB, MIB, STALL_SECONDS
from parasync.errors import ConnectionLostError, DeadlineError
from parasync.transport.tcp import BUFFERS_PER_CALL, advance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

PIPE_BYTES = 1 * MIB
"""What a pipe is asked to hold instead of 64 KiB: a literal frame passes with fewer changes of processes."""

NAP_MILLISECONDS = 1
"""How long a pipe that is full, or empty in the middle of much, is left alone. The program at its other end moves some
32 KiB at a time, and with each would wake this one up. In a nap it moves many, but not all that the pipe holds, unless
it were faster than 1 GB/s."""
NAP_BYTES = 128 * KIB
"""So much is still to come, at least, when a nap is taken: an answer is not waited for longer than it takes."""

HALF_OPEN_SECONDS = 1.0
"""How long a peer that reads no more is listened to. It may have said why, but its other pipe may also stay open
for ever: unlike a socket's, two pipes' ends are independent."""

_NEVER_SENDS_AGAIN = "its sending was closed"


def standard_stream(name: str) -> PipeStream:
    """The stream over this process's standard input and output, which it takes away.

    From now on standard input is empty, and what is printed goes to standard error: a stray line cannot
    get between the frames.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return PipeStream(incoming, outgoing, name)


class PipeStream:
    """A descriptor to read from and another one to write to, which it owns; see `Stream`.

    They may be pipes or sockets, or two descriptors of one socket.
    """

    def __init__(self, incoming: int, outgoing: int, name: str, idle_timeout: float = STALL_SECONDS) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._name = name
        self._sends_to_socket = stat.S_ISSOCK(os.fstat(outgoing).st_mode)
        self._bytes_sent = 0
        self._bytes_received = 0
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        # Reentrant, so that a signal handler may abort while its own thread aborts or closes.
        self._ending = threading.RLock()
        self._gone = ""
        self._torn = ""
        self._broken = ""
        self._closed = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.set_blocking(incoming, False)
        os.set_blocking(outgoing, False)
        self._naps_receiving = _enlarge(incoming)
        self._naps_sending = _enlarge(outgoing)
        self.idle_timeout = idle_timeout

    @property
    def name(self) -> str:
        return self._name

    @property
    def round_trip(self) -> float:
        return 0.0

    @property
    def backlog(self) -> int:
        waiting = bytearray(4)
        if self._sends_to_socket:
            return 0
        with suppress(OSError):  # a closed one does not tell
            fcntl.ioctl(self._outgoing, termios.FIONREAD, waiting)
        return int.from_bytes(waiting, sys.byteorder)

    @property
    def losses(self) -> int:
        return 0

    @property
    def bytes_sent(self) -> int:
        return self._bytes_sent

    @property
    def bytes_received(self) -> int:
        return self._bytes_received

    def send(self, *buffers: Buffer) -> None:
        views = [view for view in (memoryview(buffer).cast("B") for buffer in buffers) if view]
        with self._sending:
            if self._gone or self._torn:
                raise self._lost(self._torn)
            self._torn = "an earlier message could not be sent completely"
            start = 0
            while start < len(views):
                start = advance(views, start, self._send_some(views[start : start + BUFFERS_PER_CALL]))
            self._torn = ""

    def receive_into(self, view: memoryview) -> None:
        view = view.cast("B")
        filled = 0
        with self._receiving:
            if self._gone:
                raise self._lost(self._gone)
            while filled < len(view):
                size = self._receive_some(view[filled:])
                if not size and not filled:
                    raise EOFError
                if not size:
                    raise self._lost("closed in the middle of a message")
                filled += size
                self._bytes_received += size

    def close_sending(self) -> None:
        with self._sending:
            if not self._closed:
                self._torn = self._torn or _NEVER_SENDS_AGAIN
                self._hang_up(self._outgoing)

    def abort(self) -> None:
        self._give_up(self._broken or "it was aborted")

    def close(self) -> None:
        self._give_up("it was closed")
        # The calls in progress were just woken, and no new one begins.
        with self._sending, self._receiving, self._ending:
            if not self._closed:
                self._closed = True
                for fd in (self._incoming, self._outgoing, self._wake, self._nothing):
                    os.close(fd)

    def _give_up(self, reason: str) -> None:
        """Waits for no call in progress, since this may be a signal handler on top of it."""
        with self._ending:
            if not self._gone:
                self._gone = reason
                os.eventfd_write(self._wake, 1)
                self._hang_up(self._outgoing)
                self._hang_up(self._incoming)

    def _hang_up(self, fd: int) -> None:
        """Let go of the file behind `fd`, whose number stays taken: it must not become another file's under a call."""
        if fd == self._outgoing and self._sends_to_socket:
            with suppress(OSError), socket.socket(fileno=os.dup(fd)) as one:  # hung up before, perhaps
                one.shutdown(socket.SHUT_WR)  # the socket may have another descriptor, to read from
        os.dup2(self._nothing, fd, inheritable=False)

    def _send_some(self, views: Sequence[memoryview]) -> int:
        while True:
            try:
                size = os.writev(self._outgoing, views)
            except BlockingIOError:
                if self._naps_sending:
                    self._nap()
                if not self._wait(self._outgoing, select.POLLOUT):
                    raise DeadlineError(
                        f"{self._name} took no data for {self.idle_timeout:g} seconds (stalled? --timeout allows more)"
                    ) from None
            except OSError as error:
                self._broken = os.strerror(error.errno or 0)
                listening = threading.Timer(HALF_OPEN_SECONDS, self.abort)
                listening.daemon = True
                listening.start()
                raise self._lost(self._broken) from error
            else:
                if self._gone:
                    raise self._lost(self._gone)
                self._bytes_sent += size
                return size

    def _receive_some(self, view: memoryview) -> int:
        while True:
            try:
                size = os.readv(self._incoming, [view])
            except BlockingIOError:
                if self._naps_receiving and len(view) >= NAP_BYTES:
                    self._nap()
                if not self._wait(self._incoming, select.POLLIN):
                    raise DeadlineError(
                        f"{self._name} sent nothing for {self.idle_timeout:g} seconds (stalled? --timeout allows more)"
                    ) from None
            except OSError as error:
                raise self._lost(os.strerror(error.errno or 0)) from error
            else:
                if self._gone:
                    raise self._lost(self._gone)
                return size

    def _nap(self) -> None:
        """Let the other end get on, unless this side gives up."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        poller.poll(NAP_MILLISECONDS)

    def _wait(self, fd: int, event: int) -> bool:
        """Wait until `fd` is ready or this side gives up; whether that was in time."""
        poller = select.poll()
        poller.register(fd, event)
        poller.register(self._wake, select.POLLIN)
        return bool(poller.poll(math.ceil(self.idle_timeout * 1000)))

    def _lost(self, reason: str) -> ConnectionLostError:
        return ConnectionLostError(f"lost the connection to {self._name}: {self._gone or reason}")


def _enlarge(fd: int) -> bool:
    """Let the pipe hold PIPE_BYTES; whether it does."""
    try:
        return fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES) >= PIPE_BYTES
    except OSError:  # a socket, or more than this user may have: then it is smaller
        return False
