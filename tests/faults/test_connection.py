"""What a lost connection does to the threads of a session."""

from __future__ import annotations

import pytest

from parasync.errors import ConnectionLostError
from parasync.pipeline import Channel, Scope
from parasync.session.connection import Connection
from parasync.tracing import OFF
from parasync.transport.memory import memory_pair
from parasync.wire.state import ProtocolState


def test_a_failed_send_ends_the_session_even_if_the_receiving_thread_waits_for_the_sender() -> None:
    here, there = memory_pair()
    there.abort()
    connection = Connection(here, ProtocolState("receiver", client=True))
    with pytest.raises(ConnectionLostError), Scope("test", connection.report) as scope:
        connection.watch(scope, OFF)
        never: Channel[int] = Channel(scope, 1)
        scope.spawn(never.get)
        scope.spawn(connection.send_preamble)
