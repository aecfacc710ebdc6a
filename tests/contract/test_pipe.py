"""Pipes and child processes: what only they have."""

from __future__ import annotations

import os
import signal
import time
from random import Random

import pytest
from streams import MIB, Task, pipe_pair, receive

from parasync.errors import ConnectionLostError
from parasync.transport import pipe, ssh


def test_a_pipe_knows_what_it_could_not_pass_on_yet() -> None:
    left, right = pipe_pair()
    left.send(b"x" * 1000)
    assert left.backlog == 1000
    receive(right, 600)
    assert left.backlog == 400
    left.close()
    assert left.backlog == 0
    right.close()


def test_a_peer_that_reads_no_more_is_not_listened_to_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "HALF_OPEN_SECONDS", 1.0)
    incoming, still_open = os.pipe()
    closed, outgoing = os.pipe()
    stream = pipe.PipeStream(incoming, outgoing, "peer")
    os.write(still_open, b"last words")
    os.close(closed)
    with pytest.raises(ConnectionLostError, match="Broken pipe"):
        stream.send(b"x")
    assert receive(stream, 10) == b"last words"
    with pytest.raises(ConnectionLostError, match="Broken pipe"):
        receive(stream, 1)
    stream.close()
    os.close(still_open)


def test_a_program_that_does_not_leave_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "EXIT_SECONDS", 0.2)
    child = ssh.ChildStream(["sh", "-c", "trap '' TERM; printf ready; exec sleep 60"], "child")
    receive(child, 5)
    child.close()
    assert child.exit_code() == -signal.SIGKILL


@pytest.mark.parametrize("pipe_bytes", [pipe.PIPE_BYTES, 4096])
def test_naps_change_no_byte(monkeypatch: pytest.MonkeyPatch, pipe_bytes: int) -> None:
    monkeypatch.setattr(pipe, "PIPE_BYTES", pipe_bytes)
    left, right = pipe_pair()
    data = Random(1).randbytes(8 * MIB)
    sending = Task(left.send, data)
    assert receive(right, len(data)) == data
    sending.result()
    left.close()
    right.close()


def test_an_abort_ends_a_nap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "NAP_MILLISECONDS", 60_000)
    left, right = pipe_pair()
    calls = [Task(left.send, bytes(2 * pipe.PIPE_BYTES)), Task(left.receive_into, memoryview(bytearray(MIB)))]
    time.sleep(0.2)
    assert all(call.running for call in calls)
    left.abort()
    for call in calls:
        with pytest.raises(ConnectionLostError):
            call.result()
    left.close()
    right.close()


def test_no_nap_before_a_short_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "NAP_MILLISECONDS", 60_000)
    left, right = pipe_pair()
    receiving = Task(receive, right, 1000)
    time.sleep(0.1)
    left.send(bytes(1000))
    assert receiving.result() == bytes(1000)
    left.close()
    right.close()
