"""Peers that lie about small files: one error line, or the file whole; the old one stands until that verifies."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest
from test_peers import KEY, entry, pushed_to, pushing_to

from parasync.chunking import chunk_file
from parasync.errors import ProtocolError
from parasync.kernels import FingerprintKey, fingerprint_key
from parasync.model import Need
from parasync.wire import codec, content
from parasync.wire.messages import FEATURES, ZSTD, FrameType, NeedItem, SmallFile, Welcome
from support import ScriptedPeer, hello, leftovers

BASIS = random.Random(1).randbytes(50_000)
TARGET = BASIS[:30_000] + b"new" + BASIS[30_000:]


@pytest.fixture
def basis(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(BASIS)
    return tmp_path


def needed(peer: ScriptedPeer, size: int = len(TARGET), **fields: object) -> tuple[FingerprintKey, NeedItem]:
    """Push one entry; what a real receiver needs of it."""
    peer.say(FrameType.HELLO, hello(push=True, **fields))
    _, payload = peer.hear(FrameType.WELCOME)
    peer.say(FrameType.ENTRIES, codec.encode_entries([entry(size=size)]), count=1)
    _, needs = peer.hear(FrameType.NEEDS)
    (item,) = content.decode_needs(needs)
    return fingerprint_key(codec.decode_welcome(payload).key), item


def answer(peer: ScriptedPeer, item: SmallFile) -> None:
    peer.say(FrameType.SMALL, content.encode_small([item]), count=1)


def copies(*records: tuple[int, int, int]) -> bytes:
    return b"".join(struct.pack("<QQQ", *record) for record in records)


RECIPE = copies((0, 0, 30_000), (30_003, 30_000, 20_000))


# -- the receiver is real --------------------------------------------------------------------------


def test_the_receiver_describes_its_basis_and_takes_the_recipe(basis: Path) -> None:
    with pushing_to(basis) as peer:
        key, item = needed(peer)
        assert (item.need, item.average, item.fingerprint) == (Need.PATCH, 2048, key.fingerprint(BASIS))
        with (basis / "file").open("rb") as file:
            table = chunk_file(file.fileno(), len(BASIS), key, 2048, 1).table
        assert item.chunks == table.encode(0, len(table))
        answer(peer, SmallFile(0, False, key.fingerprint(TARGET), b"new", RECIPE))
        peer.hear(FrameType.FILES_DONE)
    assert (basis / "file").read_bytes() == TARGET
    assert leftovers(basis) == []


@pytest.mark.parametrize("fields", [{"features": [ZSTD]}, {"whole_file": True}], ids=str)
def test_a_sender_that_knows_no_patches_is_not_asked_for_them(basis: Path, fields: dict[str, object]) -> None:
    with pushing_to(basis) as peer:
        _, item = needed(peer, **fields)
        assert item.need is (Need.WHOLE if "whole_file" in fields else Need.DELTA)
        assert item.chunks == b""


LIES = {
    "overlapping copies": SmallFile(0, False, bytes(16), b"new", copies((0, 0, 40_000), (30_003, 0, 20_000))),
    "a copy beyond the target": SmallFile(0, False, bytes(16), b"", copies((0, 0, 50_004))),
    "a copy of no basis": SmallFile(0, False, bytes(16), b"", copies((0, 2**40, 50_003))),
    "too little": SmallFile(0, False, bytes(16), b"ne", RECIPE),
    "too much": SmallFile(0, False, bytes(16), b"newer", RECIPE),
    "the same, at another size": SmallFile(0, True, bytes(16), b""),
    "whole, but not what it says": SmallFile(0, False, bytes(16), TARGET),
    "whole, but longer": SmallFile(0, False, bytes(16), TARGET + b"!"),
    "a file that is not needed": SmallFile(1, False, bytes(16), TARGET),
}


@pytest.mark.parametrize("lie", LIES)
def test_answers_that_make_no_file_end_the_session(basis: Path, lie: str) -> None:
    with pushing_to(basis) as peer:
        needed(peer)
        answer(peer, LIES[lie])
        _, payload = peer.hear(FrameType.ERROR)
        report = codec.decode_error(payload)
        assert report.code == ProtocolError.code
        assert "\n" not in report.text
    assert (basis / "file").read_bytes() == BASIS
    assert leftovers(basis) == []


def test_copies_are_for_patches_only(basis: Path) -> None:
    with pushing_to(basis) as peer:
        _, item = needed(peer, whole_file=True)
        assert item.need is Need.WHOLE
        answer(peer, SmallFile(0, False, bytes(16), b"new", RECIPE))
        _, payload = peer.hear(FrameType.ERROR)
        assert codec.decode_error(payload).code == ProtocolError.code
    assert (basis / "file").read_bytes() == BASIS


@pytest.mark.parametrize("change", ["edited", "cut", "same size, said to be the same"])
def test_a_basis_that_changed_meanwhile_makes_the_file_come_whole(basis: Path, change: str) -> None:
    same = change.endswith("same")
    target = BASIS if same else TARGET
    with pushing_to(basis) as peer:
        key, item = needed(peer, size=len(target))
        assert item.need is Need.PATCH
        (basis / "file").write_bytes(BASIS[:100] if change != "edited" else b"!" + BASIS[1:])
        answer(peer, SmallFile(0, same, key.fingerprint(target), b"" if same else b"new", b"" if same else RECIPE))
        header, payload = peer.hear(FrameType.NEEDS)
        assert header.count == 0
        assert content.decode_needs(payload) == [NeedItem(0, Need.WHOLE, 0)]
        answer(peer, SmallFile(0, False, key.fingerprint(target), target))
        peer.hear(FrameType.FILES_DONE)
        peer.say(FrameType.ENTRIES_END, count=1)
        _, payload = peer.hear(FrameType.FINISH)
        account = codec.decode_finish(payload)
        assert (account.status, account.bytes_literal, account.bytes_copied) == ("ok", len(target), 0)
        peer.say(FrameType.BYE)
    assert (basis / "file").read_bytes() == target
    assert leftovers(basis) == []


def test_a_directory_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "d").mkdir(parents=True)
    (outside / "d").mkdir(parents=True)
    for place in (inside, outside):
        (place / "d/file").write_bytes(BASIS)
    with pushing_to(inside) as peer:
        peer.say(FrameType.HELLO, hello(push=True))
        _, payload = peer.hear(FrameType.WELCOME)
        key = fingerprint_key(codec.decode_welcome(payload).key)
        peer.say(FrameType.ENTRIES, codec.encode_entries([entry(b"d/file", len(TARGET))]), count=1)
        peer.hear(FrameType.NEEDS)
        (inside / "d").rename(inside / "gone")
        (inside / "d").symlink_to(outside / "d")
        answer(peer, SmallFile(0, False, key.fingerprint(TARGET), b"new", RECIPE))
        peer.hear(FrameType.FILES_DONE, FrameType.FILE_FAILED)
    assert os.listdir(outside / "d") == ["file"]
    assert (outside / "d/file").read_bytes() == BASIS


# -- the sender is real ----------------------------------------------------------------------------


def greet(peer: ScriptedPeer) -> None:
    peer.greet()
    peer.hear(FrameType.HELLO)
    peer.say(FrameType.WELCOME, codec.encode_welcome(Welcome(key=KEY, features=list(FEATURES))))
    peer.hear(FrameType.ENTRIES)


def ask(peer: ScriptedPeer, item: NeedItem, count: int = 1) -> None:
    peer.say(FrameType.NEEDS, content.encode_needs([item]), count=count)


def test_the_sender_sends_what_the_chunks_lack(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(TARGET)
    (tmp_path / "basis").write_bytes(BASIS)
    key = fingerprint_key(KEY)
    with (tmp_path / "basis").open("rb") as file:
        table = chunk_file(file.fileno(), len(BASIS), key, 2048, 1).table
    with pushed_to(tmp_path / "file") as (peer, _):
        greet(peer)
        ask(peer, NeedItem(0, Need.PATCH, 2048, key.fingerprint(BASIS), table.encode(0, len(table))))
        header, payload = peer.hear(FrameType.SMALL)
        assert not header.flags
        (item,) = content.decode_small(payload)
        assert (item.index, item.same, item.fingerprint) == (0, False, key.fingerprint(TARGET))
        assert 3 <= len(item.data) <= 6144
        assert len(item.copies) == 48
        # Its size and its time are what was announced, so it is sent whole when asked for again; once.
        ask(peer, NeedItem(0, Need.WHOLE, 0), count=0)
        _, payload = peer.hear(FrameType.SMALL)
        assert content.decode_small(payload) == [SmallFile(0, False, key.fingerprint(TARGET), TARGET)]
        ask(peer, NeedItem(0, Need.WHOLE, 0), count=0)
        _, payload = peer.hear(FrameType.ERROR)
        assert "again and again" in codec.decode_error(payload).text


CHUNKS = {
    "no whole chunk": bytes(9),
    "chunks of no length": bytes(20),
    "chunks above the maximum": b"\xff\xff" + bytes(8),
    "more than a small file has": b"\x00\x08" * 200 + bytes(8 * 200),
    "more chunks than there can be": bytes(10 * 258),
    "none": b"",
}


@pytest.mark.parametrize("chunks", CHUNKS)
def test_chunks_that_are_none_end_the_session(tmp_path: Path, chunks: str) -> None:
    (tmp_path / "file").write_bytes(TARGET)
    with pushed_to(tmp_path / "file") as (peer, outcome):
        greet(peer)
        ask(peer, NeedItem(0, Need.PATCH, 2048, bytes(16), CHUNKS[chunks]))
        _, payload = peer.hear(FrameType.ERROR)
        assert codec.decode_error(payload).code == ProtocolError.code
    assert isinstance(outcome[0], ProtocolError)


def test_a_large_file_is_not_asked_for_as_a_patch(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(300_000))
    with pushed_to(tmp_path / "file") as (peer, outcome):
        greet(peer)
        ask(peer, NeedItem(0, Need.PATCH, 2048, bytes(16), b"\x00\x08" + bytes(8)))
        peer.hear(FrameType.ERROR)
    assert "too large" in str(outcome[0])


def test_a_source_that_changed_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(TARGET)
    with pushed_to(tmp_path / "file") as (peer, _):
        greet(peer)
        (tmp_path / "file").write_bytes(TARGET[1:])
        ask(peer, NeedItem(0, Need.COMPARE, 0, bytes(16)))
        _, payload = peer.hear(FrameType.FILE_FAILED)
        assert "changed while it was read" in codec.decode_failed(payload).message
