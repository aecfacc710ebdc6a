"""What a lost connection does to the threads of a session."""

from __future__ import annotations

import threading
import time

import pytest

from parasync.errors import ConnectionLostError, UsageError
from parasync.pipeline import Channel, Scope
from parasync.session.connection import Connection
from parasync.tracing import OFF
from parasync.transport.memory import memory_pair
from parasync.wire import codec
from parasync.wire.messages import FrameType
from parasync.wire.state import ProtocolState
from support import ScriptedPeer


def test_a_failed_send_ends_the_session_even_if_the_receiving_thread_waits_for_the_sender() -> None:
    here, there = memory_pair()
    there.abort()
    connection = Connection(here, ProtocolState("receiver", client=True))
    with pytest.raises(ConnectionLostError), Scope("test", connection.report) as scope:
        connection.watch(scope, OFF)
        never: Channel[int] = Channel(scope, 1)
        scope.spawn(never.get)
        scope.spawn(connection.send_preamble)


def test_the_peer_hears_why_even_if_another_thread_sends_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = memory_pair()
    state = ProtocolState("sender", client=True)
    state.on_send(FrameType.HELLO)
    connection = Connection(here, state)
    begun, tried = threading.Event(), threading.Event()
    send = here.send

    def slow(*buffers: bytes) -> None:
        begun.set()
        tried.wait(10)
        time.sleep(0.1)
        send(*buffers)

    def late() -> None:
        begun.wait(10)
        try:
            connection.send(FrameType.ENTRIES_END)
        finally:
            tried.set()

    def fail() -> None:
        raise UsageError("the reason")

    monkeypatch.setattr(here, "send", slow)
    with pytest.raises(UsageError, match="the reason"), Scope("test", connection.report) as scope:
        connection.watch(scope, OFF)
        scope.spawn(late)
        scope.spawn(fail)
    _, payload = ScriptedPeer(there).hear(FrameType.ERROR)
    assert codec.decode_error(payload).text == "the reason"
