"""Peers that stall, die, lie or talk nonsense: one clear error, nothing lost, nothing left, no waiting for ever."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oracle_checksums import shortened
from parasync.api import sync
from parasync.errors import (
    ConnectionLostError,
    DeadlineError,
    ParaSyncError,
    ProtocolError,
    VersionError,
)
from parasync.kernels import ChunkTable, FingerprintKey, fingerprint_key
from parasync.model import Entry, Kind, Need, Report
from parasync.options import Options
from parasync.server import Module
from parasync.transport.tcp import Listener, connect
from parasync.wire import codec, content
from parasync.wire.messages import Flags, FrameType, NeedItem, SmallFile, Welcome
from support import ScriptedPeer, hello, leftovers, serving

KEY = bytes(range(16))
OLD = random.Random(1).randbytes(3_000_000)
NEW = random.Random(2).randbytes(20_000_000)
WAIT = 20.0
FIRST = bytes(4)
"""The number of a batch's first chunk, 0."""


@contextmanager
def pushing_to(here: Path, log: list[str] | None = None) -> Iterator[ScriptedPeer]:
    """A scripted sender that has greeted a real server whose module `m` is `here`."""
    with serving(Module("m", os.fsencode(here), read_only=False), log=log) as url:
        host, _, port = url.removeprefix("parasync://").rpartition(":")
        stream = connect(host, int(port), WAIT)
        stream.idle_timeout = WAIT
        try:
            peer = ScriptedPeer(stream)
            peer.greet()
            yield peer
        finally:
            stream.close()


@contextmanager
def pushed_to(source: Path, options: Options | None = None) -> Iterator[tuple[ScriptedPeer, list[object]]]:
    """A scripted receiver that a real client pushes `source` to; the list gets the client's report or error."""
    listener = Listener("127.0.0.1", 0)
    outcome: list[object] = []

    def client() -> None:
        try:
            outcome.append(sync(source, "parasync://{}:{}/m/".format(*listener.address), options))
        except BaseException as error:  # noqa: BLE001 - handed to the test
            outcome.append(error)

    thread = threading.Thread(target=client)
    thread.start()
    stream = listener.accept()
    stream.idle_timeout = WAIT
    try:
        yield ScriptedPeer(stream), outcome
    finally:
        stream.close()
        thread.join()
        listener.close()


def welcome(peer: ScriptedPeer) -> None:
    peer.greet()
    peer.hear(FrameType.HELLO)
    peer.say(FrameType.WELCOME, codec.encode_welcome(Welcome(key=KEY)))


def entry(name: bytes = b"file", size: int = len(NEW)) -> Entry:
    return Entry(name, Kind.FILE, size, 10**18, 0o644)


def chunks_of(data: bytes, key: FingerprintKey, average: int = 8192) -> ChunkTable:
    """Any division into chunks will do for a receiver; pieces of the average here."""
    table = ChunkTable(average, len(data))
    pieces = [data[start : start + average] for start in range(0, len(data), average)]
    lengths = b"".join(len(piece).to_bytes(2, "little") for piece in pieces)
    table.extend(lengths + b"".join(shortened(key.fingerprint(piece)) for piece in pieces))
    return table


def offer(peer: ScriptedPeer, *entries: Entry) -> tuple[FingerprintKey, list[NeedItem]]:
    """Push these entries; what the server needs of them."""
    peer.say(FrameType.HELLO, hello(push=True))
    _, payload = peer.hear(FrameType.WELCOME)
    key = fingerprint_key(codec.decode_welcome(payload).key)
    peer.say(FrameType.ENTRIES, codec.encode_entries(entries), count=len(entries))
    _, payload = peer.hear(FrameType.NEEDS)
    return key, content.decode_needs(payload)


@pytest.fixture
def basis(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(OLD)
    return tmp_path


def intact(here: Path) -> bool:
    return (here / "file").read_bytes() == OLD and leftovers(here) == [] and os.listdir(here) == ["file"]


# -- neither side waits for the other's whole list (ParaSync 3.2) -----------------------------


def test_the_receiver_answers_the_first_batch_before_it_hears_more(basis: Path) -> None:
    with pushing_to(basis) as peer:
        key, needs = offer(peer, entry())
        assert [item.need for item in needs] == [Need.DELTA]
        table = chunks_of(NEW, key)
        peer.say(FrameType.CHUNKS, FIRST + table.encode(0, 100), count=100)
        # Nothing more is said, and the answer must come all the same.
        header, wants = peer.hear(FrameType.WANTS)
        assert (header.file, header.count) == (0, 1)
        assert wants == (0).to_bytes(8, "little") + (100 * 8192).to_bytes(8, "little")


def test_the_sender_answers_the_first_wants_before_its_list_is_complete(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        file.truncate(3 << 30)
    with pushed_to(tmp_path / "file") as (peer, _):
        welcome(peer)
        peer.hear(FrameType.ENTRIES)
        peer.say(FrameType.NEEDS, content.encode_needs([NeedItem(0, Need.DELTA, 8192)]), count=1)
        while peer.hear(FrameType.CHUNKS)[0].flags & Flags.UNASKED:
            pass
        peer.say(FrameType.WANTS, (4096).to_bytes(8, "little") * 2, count=1)
        header, payload = peer.hear(FrameType.LITERAL, FrameType.FILE_END)
        assert header.type is FrameType.LITERAL
        assert payload == (4096).to_bytes(8, "little") * 2 + bytes(4096)


# -- peers that lie ------------------------------------------------------------------------------


def test_a_delta_that_does_not_verify_is_asked_for_whole_and_then_fails(basis: Path) -> None:
    with pushing_to(basis) as peer:
        key, _ = offer(peer, entry())
        table = chunks_of(NEW, key)
        peer.say(FrameType.CHUNKS, FIRST + table.encode(0, len(table)), count=len(table))
        peer.say(FrameType.FILE_END, key.fingerprint(NEW))
        peer.hear(FrameType.WANTS)
        for attempt in (Flags(0), Flags.RETRY):
            for start in range(0, len(NEW), 1 << 20):
                piece = bytes(len(NEW[start : start + (1 << 20)]))
                extent = start.to_bytes(8, "little") + len(piece).to_bytes(8, "little")
                peer.say(FrameType.LITERAL, extent + piece, count=1, flags=attempt)
            if not attempt:
                header, payload = peer.hear(FrameType.NEEDS)
                assert header.count == 0
                assert content.decode_needs(payload) == [NeedItem(0, Need.WHOLE, 8192)]
        peer.say(FrameType.FILE_END, key.fingerprint(NEW), flags=Flags.RETRY)
        _, payload = peer.hear(FrameType.FILE_FAILED)
        assert "does not verify" in codec.decode_failed(payload).message
        peer.say(FrameType.ENTRIES_END, count=1)
        _, payload = peer.hear(FrameType.FINISH)
        assert codec.decode_finish(payload).status == "partial"
        peer.say(FrameType.BYE)
    assert intact(basis)


def test_a_delta_that_does_not_verify_succeeds_when_it_comes_whole(basis: Path) -> None:
    with pushing_to(basis) as peer:
        key, _ = offer(peer, entry())
        table = chunks_of(NEW, key)
        peer.say(FrameType.CHUNKS, FIRST + table.encode(0, len(table)), count=len(table))
        peer.say(FrameType.FILE_END, key.fingerprint(NEW))
        for data, attempt in ((bytes(len(NEW)), Flags(0)), (NEW, Flags.RETRY)):
            for start in range(0, len(NEW), 1 << 20):
                piece = data[start : start + (1 << 20)]
                extent = start.to_bytes(8, "little") + len(piece).to_bytes(8, "little")
                peer.say(FrameType.LITERAL, extent + piece, count=1, flags=attempt)
            if not attempt:
                peer.hear(FrameType.NEEDS)
        peer.say(FrameType.FILE_END, key.fingerprint(NEW), flags=Flags.RETRY)
        peer.hear(FrameType.FILES_DONE)
        peer.say(FrameType.ENTRIES_END, count=1)
        _, payload = peer.hear(FrameType.FINISH)
        account = codec.decode_finish(payload)
        assert (account.status, account.bytes_literal, account.bytes_copied) == ("ok", len(NEW), 0)
        peer.say(FrameType.BYE)
    assert (basis / "file").read_bytes() == NEW
    assert leftovers(basis) == []


NONSENSE = {
    "literal beyond the end": (
        FrameType.LITERAL,
        (1 << 40).to_bytes(8, "little") + (1).to_bytes(8, "little") + b"x",
        1,
    ),
    "literal of no length": (FrameType.LITERAL, bytes(16) + b"x", 1),
    "literal that wraps": (FrameType.LITERAL, b"\xff" * 16 + b"x", 1),
    "end without chunks": (FrameType.FILE_END, bytes(16), 0),
    "chunks of length zero": (FrameType.CHUNKS, FIRST + bytes(10), 1),
    "chunks below the minimum": (FrameType.CHUNKS, FIRST + b"\x01\x00" * 2 + bytes(32), 2),
    "a small file that is none": (FrameType.SMALL, content.encode_small([SmallFile(0, False, bytes(16), b"x")]), 1),
    "a second greeting": (FrameType.HELLO, hello(push=True), 0),
    "chunks that do not follow": (FrameType.CHUNKS, b"\xff" * 4 + bytes(10), 1),
    "joining inside a session": (FrameType.JOIN, bytes(16), 0),
    "entries out of order": (FrameType.ENTRIES, codec.encode_entries([entry(b"late")]), 1),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_ends_the_session_with_a_report_and_the_old_file_stays(basis: Path, what: str) -> None:
    kind, payload, count = NONSENSE[what]
    log: list[str] = []
    with pushing_to(basis, log) as peer:
        offer(peer, entry())
        peer.say(kind, payload, file=kind is FrameType.JOIN, count=count)
        _, report = peer.hear(FrameType.ERROR)
        assert codec.decode_error(report).code == "protocol"
        with pytest.raises((EOFError, ConnectionLostError)):
            peer.hear(FrameType.BYE)
    assert intact(basis)
    assert len(log) == 1
    assert "\n" not in log[0]


@pytest.mark.parametrize(
    "name", [b"../outside", b"/etc/outside", b"a//b", b"a/../../b", b".", b"..", b"a\0b", b"x" * 300]
)
def test_names_that_lead_out_are_refused(basis: Path, name: bytes) -> None:
    with pushing_to(basis) as peer:
        peer.say(FrameType.HELLO, hello(push=True))
        peer.say(FrameType.ENTRIES, codec.encode_entries([entry(name, 1)]), count=1)
        _, report = peer.hear(FrameType.ERROR)
        assert codec.decode_error(report).code == "protocol"
    assert intact(basis)


@pytest.mark.parametrize("path", [b"../up", b"a/../../up"])
def test_destinations_that_lead_out_are_refused(basis: Path, path: bytes) -> None:
    (basis / "inside").mkdir()
    with serving(Module("m", os.fsencode(basis / "inside"), read_only=False)) as url, pytest.raises(ParaSyncError):
        sync(basis / "file", os.fsencode(url) + b"/m/" + path)
    assert sorted(os.listdir(basis)) == ["file", "inside"]


def test_a_symlink_in_the_module_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/link").symlink_to(tmp_path / "outside")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "inside/leak").symlink_to(tmp_path / "secret")
    (tmp_path / "d/link").mkdir(parents=True)
    (tmp_path / "d/link/file").write_bytes(b"1")
    with serving(Module("m", os.fsencode(tmp_path / "inside"), read_only=False)) as url:
        with pytest.raises(ParaSyncError):
            sync(tmp_path / "secret", f"{url}/m/link/file")
        with pytest.raises(ParaSyncError):
            sync(f"{url}/m/link/", tmp_path / "got")
        sync(f"{tmp_path}/d/", f"{url}/m/")
        sync(f"{url}/m/leak", tmp_path / "got")
    assert os.listdir(tmp_path / "outside") == []
    assert (tmp_path / "inside/link/file").read_bytes() == b"1"
    assert os.readlink(tmp_path / "got") == str(tmp_path / "secret")


# -- peers that die or stall -----------------------------------------------------------------------


@pytest.mark.parametrize("frames", [0, 1, 5, 12])
def test_a_sender_that_dies_leaves_the_old_file_and_nothing_else(basis: Path, frames: int) -> None:
    log: list[str] = []
    with pushing_to(basis, log) as peer:
        key, _ = offer(peer, entry())
        table = chunks_of(NEW, key)
        if frames:
            peer.say(FrameType.CHUNKS, FIRST + table.encode(0, 500), count=500)
        for number in range(frames - 1):
            extent = (number << 18).to_bytes(8, "little") + (1 << 18).to_bytes(8, "little")
            peer.say(FrameType.LITERAL, extent + NEW[number << 18 : (number + 1) << 18], count=1)
        peer.stream.abort()
        deadline = time.monotonic() + WAIT
        while not log and time.monotonic() < deadline:
            time.sleep(0.01)
    assert intact(basis)
    assert len(log) == 1


def test_a_receiver_that_dies_is_reported_as_a_lost_connection(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(NEW)
    with pushed_to(tmp_path / "file") as (peer, outcome):
        welcome(peer)
        peer.hear(FrameType.ENTRIES)
        peer.stream.abort()
    assert isinstance(outcome[0], ConnectionLostError)
    assert "\n" not in str(outcome[0])


def test_a_receiver_that_stalls_is_given_up_after_the_timeout(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(NEW)
    with pushed_to(tmp_path / "file", Options(timeout=0.5)) as (peer, outcome):
        welcome(peer)
        peer.hear(FrameType.ENTRIES)
        while not outcome:
            time.sleep(0.01)
    assert isinstance(outcome[0], DeadlineError)


def test_what_a_peer_reports_is_what_the_user_reads(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(NEW)
    with pushed_to(tmp_path / "file") as (peer, outcome):
        welcome(peer)
        peer.hear(FrameType.ENTRIES)
        peer.say(FrameType.NEEDS, content.encode_needs([NeedItem(0, Need.WHOLE, 0)]), count=1)
        peer.hear(FrameType.LITERAL)
        peer.say(FrameType.ERROR, codec.encode_error("file", "no space left there", False))
        peer.stream.close_sending()
        while not outcome:
            time.sleep(0.01)
    assert isinstance(outcome[0], ParaSyncError)
    assert outcome[0].exit_code == 11
    assert "no space left there" in str(outcome[0])


# -- peers that speak something else ------------------------------------------------------------------


def test_garbage_on_the_port_does_not_disturb_the_server(basis: Path, tmp_path: Path) -> None:
    log: list[str] = []
    with serving(Module("m", os.fsencode(basis), read_only=True), log=log) as url:
        host, _, port = url.removeprefix("parasync://").rpartition(":")
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 5000, b"", b"ParaSync\x01\x00\x00\x00" + b"\xff" * 64):
            with socket.create_connection((host, int(port))) as raw:
                raw.sendall(garbage)
                raw.shutdown(socket.SHUT_WR)
                raw.settimeout(WAIT)
                while raw.recv(4096):
                    pass
        report = sync(f"{url}/m/file", tmp_path / "copy")
        assert isinstance(report, Report)
    assert len(log) == 4
    assert all("\n" not in line for line in log)


@pytest.mark.parametrize(
    "preamble,error",
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", ProtocolError),
        (b"ParaSync\x63\x00\x00\x00", VersionError),
        (b"short", ConnectionLostError),
    ],
)
def test_a_server_that_speaks_something_else(tmp_path: Path, preamble: bytes, error: type[ParaSyncError]) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with pushed_to(tmp_path / "file") as (peer, outcome):
        peer.stream.send(preamble)
        peer.stream.close_sending()
        while not outcome:
            time.sleep(0.01)
    assert type(outcome[0]) is error
    assert "\n" not in str(outcome[0])


def test_a_server_that_hangs_up_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    for _ in range(5):
        with pushed_to(tmp_path / "file") as (peer, outcome):
            peer.stream.abort()
            while not outcome:
                time.sleep(0.01)
        assert isinstance(outcome[0], ConnectionLostError)


def test_nobody_listens(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ConnectionLostError, match="refused"):
            sync(tmp_path / "file", f"parasync://127.0.0.1:{port}/m/")


# -- sources that change under the sender ----------------------------------------------------------------


@pytest.mark.parametrize("need", [Need.WHOLE, Need.DELTA])
@pytest.mark.parametrize("change", ["grows", "shrinks", "vanishes"])
def test_a_source_that_changes_fails_alone(tmp_path: Path, need: Need, change: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/file").write_bytes(NEW[:1_000_000])
    with pushed_to(tmp_path / "d") as (peer, outcome):
        welcome(peer)
        header, payload = peer.hear(FrameType.ENTRIES)
        names = [one.path for one in codec.decode_entries(payload)]
        if change == "vanishes":
            (tmp_path / "d/file").unlink()
        else:
            (tmp_path / "d/file").write_bytes(NEW[:2_000_000] if change == "grows" else b"")
        index = names.index(b"d/file")
        average = 8192 if need is Need.DELTA else 0
        peer.say(FrameType.NEEDS, content.encode_needs([NeedItem(index, need, average)]), count=len(names))
        header, payload = peer.hear(FrameType.FILE_FAILED)
        failed = codec.decode_failed(payload)
        assert (header.file, failed.path) == (index, b"d/file")
        assert failed.code == ("vanished" if change == "vanishes" else "changed")
        peer.stream.abort()
    assert outcome
