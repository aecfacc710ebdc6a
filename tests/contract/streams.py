"""Pairs of connected streams, and calls that run while the test goes on."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parasync.transport.pipe import PipeStream
from parasync.transport.ssh import ChildStream
from parasync.transport.stream import Stream
from parasync.transport.tcp import Listener, connect

Pair = tuple[Stream, Stream]
HANG = 30.0
MIB = 1 << 20
RELAY = Path(__file__).with_name("relay.py")


class Task:
    """A call on a thread of its own; `result` fails the test if it hangs."""

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        self._outcome: list[Any] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call, args), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            self._outcome.append(call(*args))
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            self._error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self) -> Any:
        self._thread.join(HANG)
        assert not self._thread.is_alive(), "still waiting"
        if self._error is not None:
            raise self._error
        return self._outcome[0]


def tcp_pair() -> Pair:
    listener = Listener("127.0.0.1", 0)
    accepted = Task(listener.accept)
    client = connect(*listener.address, timeout=HANG)
    server = accepted.result()
    listener.close()
    return client, server


def pipe_pair() -> Pair:
    left_in, right_out = os.pipe()
    right_in, left_out = os.pipe()
    return PipeStream(left_in, left_out, "right"), PipeStream(right_in, right_out, "left")


def standard_socket_pair() -> Pair:
    """Sockets as standard input and output, one for both, as some remote shells give them."""
    left, right = socket.socketpair()
    return (
        PipeStream(os.dup(left.fileno()), left.detach(), "right"),
        PipeStream(os.dup(right.fileno()), right.detach(), "left"),
    )


def child_pair() -> Pair:
    listener = Listener("127.0.0.1", 0)
    accepted = Task(listener.accept)
    child = ChildStream([sys.executable, "-S", str(RELAY), str(listener.address[1])], "child")
    other = accepted.result()
    listener.close()
    return child, other


def receive(stream: Stream, size: int) -> bytes:
    data = bytearray(size)
    stream.receive_into(memoryview(data))
    return bytes(data)


def stalled(task: Task) -> bool:
    """Let `task` run into its wait; that it waits is not timed, only likely."""
    time.sleep(0.1)
    return task.running
