"""Pipes and child processes: what only they have."""

from __future__ import annotations

import os
import signal

import pytest
from streams import pipe_pair, receive

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
