"""Connecting and listening: what only TCP has."""

from __future__ import annotations

import errno
import socket
import time

import pytest
from streams import Task, receive, stalled

from parasync.errors import ConnectDeadlineError, ConnectionLostError, StartError, UsageError
from parasync.transport.stream import Stream
from parasync.transport.tcp import Connecting, Listener, connect


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_nobody_listens() -> None:
    port = free_port()
    with pytest.raises(ConnectionLostError) as caught:
        connect("127.0.0.1", port, 5)
    assert str(caught.value).startswith(
        f"cannot connect to 127.0.0.1:{port}: Connection refused (is the server running"
    )
    assert caught.value.exit_code == 10


def test_nobody_answers() -> None:
    """A listener whose queue is full drops further attempts, like a host that is down."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        made: list[Stream] = []
        try:
            with pytest.raises(ConnectDeadlineError, match=r"no answer within 0\.3 seconds") as caught:
                made.extend(connect("127.0.0.1", full.getsockname()[1], 0.3) for _ in range(10))
        finally:
            for stream in made:
                stream.close()
    assert caught.value.exit_code == 35


def test_who_does_not_answer_at_once_is_distant() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):
            attempts = [Connecting("127.0.0.1", full.getsockname()[1]) for _ in range(3)]
            assert attempts[-1].distant
            for attempt in attempts:
                attempt.close()
    listener = Listener("127.0.0.1", 0)
    near = Connecting(*listener.address)
    accepted = listener.accept()
    assert not near.distant
    time.sleep(0.01)
    assert not near.distant
    for one in (near, accepted, listener):
        one.close()


def test_every_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        blockers = [socket.create_connection(full.getsockname()) for _ in range(1)]
        listener = Listener("127.0.0.1", 0)
        dead = ("127.0.0.1", free_port())
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", at) for at in (full.getsockname(), dead, listener.address)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        stream = connect("example", 8730, 0.9)
        assert stream.name == "example:8730"
        accepted = listener.accept()
        stream.send(b"x")
        assert receive(accepted, 1) == b"x"
        for one in (stream, accepted, listener, *blockers):
            one.close()


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "nul\0"])
def test_a_name_that_cannot_be(host: str) -> None:
    with pytest.raises(ConnectionLostError, match="check the host name") as caught:
        connect(host, 8730, 5)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be(port: int) -> None:
    with pytest.raises(UsageError, match="a port is a number"):
        connect("127.0.0.1", port, 5)
    with pytest.raises(UsageError, match="a port is a number"):
        Listener("127.0.0.1", port)


def test_ipv6() -> None:
    try:
        listener = Listener("::1", 0)
    except StartError:
        pytest.skip("no IPv6 here")
    client = connect("::1", listener.address[1], 5)
    server = listener.accept()
    assert client.name == f"[::1]:{listener.address[1]}"
    assert server.name.startswith("[::1]:")
    for one in (client, server, listener):
        one.close()


def test_every_address_of_this_machine() -> None:
    listener = Listener("", 0)
    client = connect("127.0.0.1", listener.address[1], 5)
    server = listener.accept()
    assert server.name.startswith("127.0.0.1:")
    for one in (client, server, listener):
        one.close()


def test_an_address_in_use() -> None:
    listener = Listener("127.0.0.1", 0)
    port = listener.address[1]
    with pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
        Listener("127.0.0.1", port)
    listener.close()
    Listener("127.0.0.1", port).close()


def test_close_wakes_accept() -> None:
    listener = Listener("127.0.0.1", 0)
    waiting = Task(listener.accept)
    assert stalled(waiting)
    listener.close()
    listener.close()
    with pytest.raises(EOFError):
        waiting.result()
    with pytest.raises(EOFError):
        listener.accept()


def test_accept_goes_on_after_a_lack_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener("127.0.0.1", 0)
    client = connect(*listener.address, timeout=5)
    with monkeypatch.context() as patched:

        def refuse(_: socket.socket) -> None:
            raise OSError(errno.EMFILE, "")

        patched.setattr(socket.socket, "accept", refuse)
        with pytest.raises(ConnectionLostError, match="Too many open files"):
            listener.accept()
    server = listener.accept()
    for one in (client, server, listener):
        one.close()
