"""Lanes: content over several connections, any of which may be refused, late, or lost on the way."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from oracle_checksums import shortened
from parasync import api
from parasync.config import DISTANT_LANES, LANE_PIECE_BYTES, LOSSY_LANES, MATCHINGS
from parasync.errors import ConnectionLostError, ParaSyncError, ProtocolError, StartError, UsageError
from parasync.kernels import ChunkTable, fingerprint_key
from parasync.model import Entry, Kind, Monitor, Need
from parasync.options import Options
from parasync.server import Module
from parasync.session import lanes as lanes_module
from parasync.session.connection import Connection
from parasync.session.lanes import Lane, Lanes, Redo
from parasync.session.lobby import Lobby
from parasync.transport.memory import memory_pair
from parasync.transport.stream import Stream
from parasync.transport.tcp import Connecting, SocketStream, connect
from parasync.wire import codec, content
from parasync.wire.messages import TOKEN_BYTES, FrameType, NeedItem
from parasync.wire.state import ProtocolState
from support import ScriptedPeer, hello, leftovers, serving

OLD = random.Random(1).randbytes(30_000_000)
NEW = b"".join(
    random.Random(start).randbytes(300_000) + OLD[start : start + 1_000_000] for start in range(0, len(OLD), 1_000_000)
)
TOKEN = bytes(range(TOKEN_BYTES))


class Wrapped:
    """A stream, of which subclasses change something."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "idle_timeout":
            self._stream.idle_timeout = value  # type: ignore[assignment]
        else:
            super().__setattr__(name, value)


class Fragile(Wrapped):
    """Loses its connection after so many bytes were sent, or received, over it."""

    def __init__(self, stream: Stream, sends: int, receives: int) -> None:
        super().__init__(stream)
        self._sends = sends
        self._receives = receives

    def send(self, *buffers: bytes) -> None:
        if self._stream.bytes_sent >= self._sends:
            self._stream.abort()
        self._stream.send(*buffers)

    def receive_into(self, view: memoryview) -> None:
        if self._stream.bytes_received >= self._receives:
            self._stream.abort()
        self._stream.receive_into(view)


LARGE = 100_000


class Patient(Wrapped):
    """Lets nothing large pass before `others` are there."""

    def __init__(self, stream: Stream, others: threading.Event) -> None:
        super().__init__(stream)
        self._others = others

    def send(self, *buffers: bytes) -> None:
        if sum(len(memoryview(buffer)) for buffer in buffers) > LARGE:
            assert self._others.wait(10)
        self._stream.send(*buffers)

    def receive_into(self, view: memoryview) -> None:
        if len(view) > LARGE:
            assert self._others.wait(10)
        self._stream.receive_into(view)


class Distant(Patient):
    """Seems to be of a long link. Only what the transport tells of it is made up, what is done about it is real."""

    round_trip = 0.1

    @property
    def losses(self) -> int:
        return 0  # loopback has some, under load


class Lossy(Distant):
    """Seems to lose packets all the time, too."""

    _polled = 0

    @property
    def losses(self) -> int:
        self._polled += 1
        return self._polled


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "there").mkdir()
    with serving(Module("m", os.fsencode(tmp_path / "there"), read_only=False)) as url:
        yield f"{url}/m"


def connecting(
    monkeypatch: pytest.MonkeyPatch, *, expected: int = 4, sends: int = 1 << 62, receives: int = 1 << 62
) -> list[SocketStream]:
    """The client's connections, in order; the first waits until as many as `expected` are there, others are fragile."""
    made: list[SocketStream] = []
    finish = Connecting.finish
    others = threading.Event()

    def fragile(self: Connecting, timeout: float) -> Stream:
        made.append(finish(self, timeout))
        if len(made) == expected:
            others.set()
        return Patient(made[0], others) if len(made) == 1 else Fragile(made[-1], sends, receives)  # type: ignore[return-value]

    monkeypatch.setattr(Connecting, "finish", fragile)
    return made


@pytest.mark.parametrize("pull", [False, True])
@pytest.mark.parametrize("basis", [OLD, b""])
@pytest.mark.parametrize("matching", MATCHINGS)
def test_content_goes_over_all_lanes(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pull: bool, basis: bytes, matching: str
) -> None:
    made = connecting(monkeypatch)
    (tmp_path / "there/file").write_bytes(NEW if pull else basis)
    (tmp_path / "here").write_bytes(basis if pull else NEW)
    ends = (f"{server}/file", tmp_path / "here") if pull else (tmp_path / "here", f"{server}/file")
    monitor = Monitor()
    report = api.sync(*ends, Options(streams=4, compression=0, ignore_times=True, matching=matching), monitor)
    assert report.status == "ok"
    assert (tmp_path / "there/file").read_bytes() == (tmp_path / "here").read_bytes() == NEW
    assert len(made) == 4
    moved = [one.bytes_received if pull else one.bytes_sent for one in made]
    # How much goes over which is the machine's affair; a lane that only joined moved some 50 bytes.
    assert sum(moved[1:]) > 100_000
    assert sum(moved) == (report.totals.bytes_received if pull else report.totals.bytes_sent)
    assert report.totals.bytes_literal + report.totals.bytes_copied == len(NEW)
    if basis:
        assert report.totals.bytes_literal < len(NEW) // 2


@pytest.mark.parametrize("limit", [0, 1000, 300_000, 1_500_000])
@pytest.mark.parametrize("pull", [False, True])
@pytest.mark.parametrize("matching", MATCHINGS)
def test_lost_lanes_do_not_lose_the_session(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pull: bool, limit: int, matching: str
) -> None:
    connecting(monkeypatch, sends=limit, receives=limit)
    (tmp_path / "there/file").write_bytes(NEW if pull else OLD)
    (tmp_path / "here").write_bytes(OLD if pull else NEW)
    ends = (f"{server}/file", tmp_path / "here") if pull else (tmp_path / "here", f"{server}/file")
    report = api.sync(*ends, Options(streams=4, compression=0, ignore_times=True, matching=matching))
    assert report.status == "ok"
    assert (tmp_path / "there/file").read_bytes() == (tmp_path / "here").read_bytes() == NEW
    assert report.totals.bytes_literal + report.totals.bytes_copied == len(NEW)
    assert leftovers(tmp_path) == []


def test_lanes_that_cannot_be_opened_are_done_without(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[SocketStream] = []
    finish = Connecting.finish

    def once(self: Connecting, timeout: float) -> Stream:
        if made:
            raise ConnectionLostError("no more")
        made.append(finish(self, timeout))
        return made[0]

    monkeypatch.setattr(Connecting, "finish", once)
    (tmp_path / "here").write_bytes(NEW)
    assert api.sync(tmp_path / "here", f"{server}/file", Options(streams=16)).status == "ok"
    assert (tmp_path / "there/file").read_bytes() == NEW


def test_there_is_one_connection_over_a_short_link(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = connecting(monkeypatch, expected=1)
    (tmp_path / "here").write_bytes(NEW)
    api.sync(tmp_path / "here", f"{server}/file")
    assert len(made) == 1


@pytest.mark.parametrize(("kind", "connections"), [("Distant", 1 + DISTANT_LANES), ("Lossy", 1 + LOSSY_LANES)])
@pytest.mark.parametrize("pull", [False, True])
def test_long_and_lossy_links_get_more_connections(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, connections: int, pull: bool
) -> None:
    made: list[SocketStream] = []
    finish = Connecting.finish
    others = threading.Event()

    def first_is_far(self: Connecting, timeout: float) -> Stream:
        made.append(finish(self, timeout))
        if len(made) == connections:
            others.set()
        link = Distant if kind == "Distant" else Lossy
        return link(made[0], others) if len(made) == 1 else made[-1]  # type: ignore[return-value]

    monkeypatch.setattr(Connecting, "finish", first_is_far)
    monkeypatch.setattr(lanes_module, "LOSS_POLL_SECONDS", 0.001)
    (tmp_path / ("there/file" if pull else "here")).write_bytes(NEW)
    ends = (f"{server}/file", tmp_path / "here") if pull else (tmp_path / "here", f"{server}/file")
    report = api.sync(*ends, Options(compression=0))
    assert report.status == "ok"
    assert (tmp_path / "there/file").read_bytes() == (tmp_path / "here").read_bytes() == NEW
    assert len(made) == connections


@pytest.mark.parametrize("pull", [False, True])
def test_a_refused_lane_does_not_end_the_session(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pull: bool
) -> None:
    def refuse(self: Lobby, token: bytes, number: int, stream: Stream) -> None:
        raise StartError("that session is over")

    monkeypatch.setattr(Lobby, "join", refuse)
    (tmp_path / ("there/file" if pull else "here")).write_bytes(NEW)
    ends = (f"{server}/file", tmp_path / "here") if pull else (tmp_path / "here", f"{server}/file")
    assert api.sync(*ends, Options(streams=4)).status == "ok"
    assert (tmp_path / "there/file").read_bytes() == (tmp_path / "here").read_bytes() == NEW


@pytest.mark.parametrize("streams", [-1, 17])
def test_numbers_that_cannot_be(streams: int) -> None:
    with pytest.raises(UsageError, match="--streams"):
        Options(streams=streams)


def test_ssh_has_one_connection(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="parasync:// only"):
        api.sync(__file__, "host:x", Options(streams=2, rsh="false"))


# -- hostile peers ------------------------------------------------------------------------------


Greeting = Callable[[], ScriptedPeer]


@pytest.fixture
def greeted(server: str) -> Iterator[Greeting]:
    """Makes clients that have greeted the server."""
    host, _, port = server.removeprefix("parasync://").partition("/")[0].rpartition(":")
    with ExitStack() as stack:

        def connected() -> ScriptedPeer:
            peer = ScriptedPeer(connect(host, int(port), 10.0))
            stack.callback(peer.stream.close)
            peer.stream.idle_timeout = 10.0
            peer.greet()
            return peer

        yield connected


def test_who_does_not_know_the_token_joins_nothing(greeted: Greeting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parasync.session.lobby.HANDSHAKE_SECONDS", 0.1)
    session, stranger = greeted(), greeted()
    session.say(FrameType.HELLO, hello(push=True, token=TOKEN))
    session.hear(FrameType.WELCOME)
    stranger.say(FrameType.JOIN, bytes(TOKEN_BYTES), file=1)
    _, report = stranger.hear(FrameType.ERROR)
    assert codec.decode_error(report).code == "start"
    for number, code in ((1, None), (1, "start")):  # the second time it is taken
        joining = greeted()
        joining.say(FrameType.JOIN, TOKEN, file=number)
        if code is not None:
            _, report = joining.hear(FrameType.ERROR)
            assert codec.decode_error(report).code == code


def push_chunks(peer: ScriptedPeer, *batches: tuple[int, int]) -> str:
    """Push 100 chunks in these batches (first, count), the last of the file missing; the error's text, or none."""
    data = NEW[: 101 * 8192]
    peer.say(FrameType.HELLO, hello(push=True, token=os.urandom(TOKEN_BYTES)))
    _, payload = peer.hear(FrameType.WELCOME)
    key = fingerprint_key(codec.decode_welcome(payload).key)
    entry = Entry(b"file", Kind.FILE, len(data), 10**18, 0o644)
    peer.say(FrameType.ENTRIES, codec.encode_entries([entry]), count=1)
    peer.hear(FrameType.NEEDS)
    table = ChunkTable(8192, len(data))
    pieces = [data[start : start + 8192] for start in range(0, len(data), 8192)]
    table.extend((8192).to_bytes(2, "little") * 101 + b"".join(shortened(key.fingerprint(piece)) for piece in pieces))
    for first, count in batches:
        peer.say(FrameType.CHUNKS, first.to_bytes(4, "little") + table.encode(first, count), count=count)
    peer.say(FrameType.KEEPALIVE)
    peer.stream.idle_timeout = 1.0
    try:
        _, report = peer.hear(FrameType.ERROR)
    except ParaSyncError:
        return ""
    finally:
        peer.stream.abort()
    return codec.decode_error(report).text


def test_batches_of_chunks_may_overtake_each_other_but_not_overlap(greeted: Greeting, tmp_path: Path) -> None:
    (tmp_path / "there/file").write_bytes(OLD)
    assert push_chunks(greeted(), (50, 50), (10, 40), (0, 10)) == ""
    assert "not to come" in push_chunks(greeted(), (0, 10), (5, 10))
    assert "not to come" in push_chunks(greeted(), (50, 10), (50, 10))
    assert "came before" in push_chunks(greeted(), (5, 10), (0, 10))
    assert (tmp_path / "there/file").read_bytes() == OLD


def test_a_receiver_cannot_claim_frames_that_were_never_sent(tmp_path: Path) -> None:
    near, _ = memory_pair()
    lanes = Lanes(Connection(near, ProtocolState("sender", client=True)), TOKEN)
    other, _ = memory_pair()
    assert lanes.attach(1, other)
    with pytest.raises(ProtocolError, match="1 frames of lane 1"):
        lanes.not_received(1, 1)
    assert lanes.not_received(2, 5) == []  # a lane that never came


def test_frames_that_the_peer_did_not_get_are_done_again() -> None:
    again: list[int] = []
    near, far = memory_pair()
    peer = ScriptedPeer(far)
    lane = Lane(1, Connection(near, ready_state()))
    for number in range(5):
        assert send_literal(lane, partial(again.append, number))
    peer.hear(FrameType.LITERAL)
    for redo in lane.not_received(2):
        redo.again()
    assert again == [2, 3, 4]
    assert not send_literal(lane, partial(again.append, 5))
    assert lane.not_received(0) == []


def test_a_lane_forgets_what_is_done_and_takes_no_more_than_it_can_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "LANE_FRAMES", 4)
    again: list[int] = []
    done = {0, 1, 3}
    near, _ = memory_pair()
    lane = Lane(1, Connection(near, ready_state()))
    for number in range(6):  # 0 and 1 are forgotten as they are done, 3 has to wait for 2
        assert send_literal(lane, partial(again.append, number), partial(done.__contains__, number))
    assert lane.full
    assert not send_literal(lane, partial(again.append, 6))
    done.add(2)
    assert not lane.full
    assert send_literal(lane, partial(again.append, 6))
    done.add(5)
    with pytest.raises(ProtocolError, match="8 frames of lane 1, over which 7 were sent"):
        lane.not_received(8)
    for redo in lane.not_received(3):
        redo.again()
    assert again == [4, 6]


def send_literal(lane: Lane, again: Callable[[], None], done: Callable[[], bool] = lambda: False) -> bool:
    return lane.send(Redo(again, done), FrameType.LITERAL, bytes(16), b"x", file=0, count=1)


def test_full_lanes_leave_the_rest_to_the_first_connection(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = connecting(monkeypatch)
    monkeypatch.setattr(lanes_module, "LANE_FRAMES", 5)
    (tmp_path / "here").write_bytes(NEW)
    assert api.sync(tmp_path / "here", f"{server}/file", Options(streams=4, compression=0)).status == "ok"
    assert (tmp_path / "there/file").read_bytes() == NEW
    assert all(one.bytes_sent < 6 * (LANE_PIECE_BYTES + 1000) for one in made[1:])


def ready_state() -> ProtocolState:
    state = ProtocolState("sender", client=True)
    state.on_send(FrameType.HELLO)
    return state


def test_the_lobby_lets_in_who_comes_before_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    lobby = Lobby()
    near, _ = memory_pair()
    other, _ = memory_pair()
    lanes = Lanes(Connection(near, ready_state()), TOKEN)
    joining = threading.Thread(target=lobby.join, args=(TOKEN, 3, other))
    joining.start()
    lobby.host(TOKEN, lanes)
    joining.join(10)
    assert not joining.is_alive()
    assert not lanes.attach(3, other)  # that number is taken
    with pytest.raises(ProtocolError, match="token"):
        lobby.host(TOKEN, lanes)
    lobby.forget(TOKEN, lanes)
    lobby.host(TOKEN, lanes)


def test_a_lane_that_the_sender_gives_up_is_told_even_if_it_never_came(greeted: Greeting, tmp_path: Path) -> None:
    (tmp_path / "there/file").write_bytes(OLD)
    peer = greeted()
    peer.say(FrameType.HELLO, hello(push=True, token=TOKEN))
    peer.hear(FrameType.WELCOME)
    peer.say(FrameType.ENTRIES, codec.encode_entries([Entry(b"file", Kind.FILE, len(NEW), 10**18, 0o644)]), count=1)
    _, payload = peer.hear(FrameType.NEEDS)
    assert content.decode_needs(payload) == [NeedItem(0, Need.DELTA, 8192)]
    for number in (7, 7, 8):
        peer.say(FrameType.LANE_LOST, file=number)
    answers = [peer.hear(FrameType.LANE_LOST)[0] for _ in range(2)]
    assert {(header.file, header.count) for header in answers} == {(7, 0), (8, 0)}  # each is answered once
    joining = greeted()
    joining.say(FrameType.JOIN, TOKEN, file=7)
    _, report = joining.hear(FrameType.ERROR)
    assert codec.decode_error(report).code == "start"
