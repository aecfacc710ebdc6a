"""Pairs of connected streams, and calls that run while the test goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from parasync.transport.stream import Stream
from parasync.transport.tcp import Listener, connect

Pair = tuple[Stream, Stream]
HANG = 30.0
MIB = 1 << 20


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


def receive(stream: Stream, size: int) -> bytes:
    data = bytearray(size)
    stream.receive_into(memoryview(data))
    return bytes(data)


def stalled(task: Task) -> bool:
    """Let `task` run into its wait; that it waits is not timed, only likely."""
    time.sleep(0.1)
    return task.running
