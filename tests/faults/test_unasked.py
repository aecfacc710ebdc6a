"""Chunks that are sent before they are asked for: a round trip is saved, and where they do not count nothing lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_peers import FIRST, KEY, NEW, OLD, chunks_of, pushed_to, pushing_to

from parasync.kernels import ChunkTable, FingerprintKey, fingerprint_key
from parasync.model import Entry, Kind, Need
from parasync.options import Options
from parasync.transport.tcp import Connecting
from parasync.wire import codec, content
from parasync.wire.messages import FEATURES, MAX_UNASKED, Finish, Flags, FrameType, Hello, NeedItem, Welcome
from support import ScriptedPeer, hello, leftovers

AVERAGE = 8192
"""What both sides take for files of this size."""
OTHER_KEY = bytes(16)
NOTHING_DONE = Finish(
    status="ok",
    files_total=1,
    files_sent=0,
    files_unchanged=1,
    files_failed=0,
    bytes_target=0,
    bytes_copied=0,
    bytes_literal=0,
    failures=[],
)


# -- the sender is real ------------------------------------------------------------------------------


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[tuple[ScriptedPeer, list[object], Hello]]:
    """A client that pushes 200 MB, has sent its entry and heard nothing yet."""
    with open(tmp_path / "file", "wb") as file:
        file.truncate(200_000_000)
    with pushed_to(tmp_path / "file") as (peer, outcome):
        peer.greet()
        _, payload = peer.hear(FrameType.HELLO)
        peer.hear(FrameType.ENTRIES)
        yield peer, outcome, codec.decode_hello(payload)


def chunks_until_end(peer: ScriptedPeer) -> list[tuple[bool, int, int]]:
    """(whether unasked, first, count) of each batch of chunks up to FILE_END."""
    batches = []
    while True:
        header, payload = peer.hear(FrameType.CHUNKS, FrameType.FILE_END)
        if header.type is FrameType.FILE_END:
            return batches
        first = int.from_bytes(payload[: len(FIRST)], "little")
        batches.append((bool(header.flags & Flags.UNASKED), first, header.count))


def answer(peer: ScriptedPeer, key: bytes, *needs: NeedItem) -> None:
    peer.say(FrameType.WELCOME, codec.encode_welcome(Welcome(key=key, features=list(FEATURES))))
    peer.say(FrameType.NEEDS, content.encode_needs(needs), count=1)


def test_chunks_follow_the_entry_and_go_on_where_they_stopped(
    sender: tuple[ScriptedPeer, list[object], Hello],
) -> None:
    peer, _, greeting = sender
    assert greeting.unasked == AVERAGE
    header, _ = peer.hear(FrameType.CHUNKS)
    assert (header.file, header.flags) == (0, Flags.UNASKED)
    answer(peer, greeting.offered_key, NeedItem(0, Need.DELTA, AVERAGE))
    batches = chunks_until_end(peer)
    unasked = header.count + sum(count for flag, _, count in batches if flag)
    assert header.count * 10 < unasked * 10 <= MAX_UNASKED
    expected = header.count
    for flag, first, count in batches:
        assert first == expected
        assert flag == (first < unasked)
        expected += count
    assert expected >= 200_000_000 // (AVERAGE * 3 // 2)


@pytest.mark.parametrize("other", ["average", "key"])
def test_chunks_that_do_not_count_are_sent_anew(sender: tuple[ScriptedPeer, list[object], Hello], other: str) -> None:
    peer, _, greeting = sender
    average, key = (4096, greeting.offered_key) if other == "average" else (AVERAGE, OTHER_KEY)
    answer(peer, key, NeedItem(0, Need.DELTA, average))
    asked = [batch[1:] for batch in chunks_until_end(peer) if not batch[0]]

    assert asked[0][0] == 0
    assert sum(count for _, count in asked) >= 200_000_000 // (average * 3 // 2)


@pytest.mark.parametrize("needs", [[], [NeedItem(0, Need.WHOLE, 0)]], ids=["unchanged", "whole"])
def test_no_more_chunks_follow_where_none_are_needed(
    sender: tuple[ScriptedPeer, list[object], Hello], needs: list[NeedItem]
) -> None:
    peer, _, greeting = sender
    answer(peer, greeting.offered_key, *needs)
    if not needs:
        peer.say(FrameType.FINISH, codec.encode_finish(NOTHING_DONE))
    sent = 0
    while (frame := peer.hear())[0].type is not (FrameType.FILE_END if needs else FrameType.BYE):
        if frame[0].type is FrameType.CHUNKS:
            assert frame[0].flags == Flags.UNASKED
            sent += 10 * frame[0].count
    assert sent <= MAX_UNASKED


@pytest.mark.parametrize(
    ("options", "average", "fine"),
    [(Options(), 4096, True), (Options(average=16384), 16384, False), (Options(chunking="paper"), AVERAGE, False)],
    ids=["default", "average", "paper"],
)
def test_chunks_are_finer_over_a_distant_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Options, average: int, fine: bool
) -> None:
    (tmp_path / "file").write_bytes(NEW)
    monkeypatch.setattr(Connecting, "distant", True)
    with pushed_to(tmp_path / "file", options) as (peer, _):
        peer.greet()
        _, payload = peer.hear(FrameType.HELLO)
        greeting = codec.decode_hello(payload)
        assert (greeting.unasked, greeting.fine) == (average, fine)
        answer(peer, greeting.offered_key, NeedItem(0, Need.DELTA, average))
        assert chunks_until_end(peer)[0][1] == 0


# -- the receiver is real ----------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(OLD)
    return tmp_path


def offer(peer: ScriptedPeer, average: int, key: bytes, mtime: int = 10**18, size: int = len(NEW)) -> None:
    """Greeting and entry, without waiting for anything."""
    peer.say(FrameType.HELLO, hello(push=True, offered_key=key, unasked=average))
    peer.say(FrameType.ENTRIES, codec.encode_entries([Entry(b"file", Kind.FILE, size, mtime, 0o644)]), count=1)


def say_chunks(peer: ScriptedPeer, table: ChunkTable, first: int, count: int, flags: int = 0) -> None:
    payload = first.to_bytes(4, "little") + table.encode(first, count)
    peer.say(FrameType.CHUNKS, payload, count=count, flags=flags)


def deliver(peer: ScriptedPeer, key: FingerprintKey) -> None:
    """The end of the list, the literals, and the session's end."""
    peer.say(FrameType.FILE_END, key.fingerprint(NEW))
    wanted = 0
    while wanted < len(NEW):
        _, extents = peer.hear(FrameType.WANTS)
        for i in range(0, len(extents), 16):
            start, length = (int.from_bytes(extents[k : k + 8], "little") for k in (i, i + 8))
            for at in range(start, start + length, 1 << 20):
                piece = NEW[at : min(at + (1 << 20), start + length)]
                peer.say(
                    FrameType.LITERAL, at.to_bytes(8, "little") + len(piece).to_bytes(8, "little") + piece, count=1
                )
            wanted += length
    peer.hear(FrameType.FILES_DONE)
    peer.say(FrameType.ENTRIES_END, count=1)
    _, payload = peer.hear(FrameType.FINISH)
    assert codec.decode_finish(payload).status == "ok"
    peer.say(FrameType.BYE)


def test_a_client_may_ask_for_finer_chunks(here: Path) -> None:
    with pushing_to(here) as peer:
        peer.say(FrameType.HELLO, hello(push=True, fine=True))
        entry = Entry(b"file", Kind.FILE, len(NEW), 10**18, 0o644)
        peer.say(FrameType.ENTRIES, codec.encode_entries([entry]), count=1)
        _, payload = peer.hear(FrameType.NEEDS)
        assert content.decode_needs(payload) == [NeedItem(0, Need.DELTA, 4096)]


def test_unasked_chunks_are_answered_with_wants_at_once(here: Path) -> None:
    key = fingerprint_key(KEY)
    with pushing_to(here) as peer:
        offer(peer, AVERAGE, KEY)
        table = chunks_of(NEW, key, AVERAGE)
        say_chunks(peer, table, 0, 100, Flags.UNASKED)
        _, payload = peer.hear(FrameType.NEEDS)
        assert content.decode_needs(payload) == [NeedItem(0, Need.DELTA, AVERAGE)]
        # Nothing more is said, and the answer must come all the same.
        _, wants = peer.hear(FrameType.WANTS)
        assert wants == (0).to_bytes(8, "little") + (100 * AVERAGE).to_bytes(8, "little")
        peer.say(FrameType.LITERAL, wants + NEW[: 100 * AVERAGE], count=1)
        say_chunks(peer, table, 100, len(table) - 100)
        peer.say(FrameType.FILE_END, key.fingerprint(NEW))
        _, wants = peer.hear(FrameType.WANTS)
        assert int.from_bytes(wants[:8], "little") == 100 * AVERAGE
    assert (here / "file").read_bytes() == OLD
    assert leftovers(here) == []


@pytest.mark.parametrize("asked", [0, 100])
def test_unasked_chunks_are_the_beginning_of_the_list(here: Path, asked: int) -> None:
    """The rest may come before the receiver has looked at them: that of a short list, all at once."""
    key = fingerprint_key(KEY)
    with pushing_to(here) as peer:
        offer(peer, AVERAGE, KEY)
        table = chunks_of(NEW, key, AVERAGE)
        say_chunks(peer, table, 0, len(table) - asked, Flags.UNASKED)
        peer.hear(FrameType.NEEDS)
        if asked:
            say_chunks(peer, table, len(table) - asked, asked)
        deliver(peer, key)
    assert (here / "file").read_bytes() == NEW


@pytest.mark.parametrize("other", ["average", "key"])
def test_chunks_of_another_average_or_key_do_not_count(here: Path, other: str) -> None:
    with pushing_to(here) as peer:
        average, offered = (4096, KEY) if other == "average" else (AVERAGE, b"")
        offer(peer, average, offered)
        say_chunks(peer, chunks_of(NEW, fingerprint_key(KEY), average), 0, 100, Flags.UNASKED)
        _, payload = peer.hear(FrameType.WELCOME)
        key = fingerprint_key(codec.decode_welcome(payload).key)
        peer.hear(FrameType.NEEDS)
        table = chunks_of(NEW, key, AVERAGE)
        say_chunks(peer, table, 0, len(table))
        deliver(peer, key)
    assert (here / "file").read_bytes() == NEW


def test_unasked_chunks_of_an_unchanged_file_are_forgotten(here: Path) -> None:
    os.utime(here / "file", ns=(0, 10**18))
    with pushing_to(here) as peer:
        offer(peer, AVERAGE, KEY, size=len(OLD))
        say_chunks(peer, chunks_of(OLD, fingerprint_key(KEY), AVERAGE), 0, 100, Flags.UNASKED)
        peer.say(FrameType.ENTRIES_END, count=1)
        _, payload = peer.hear(FrameType.FINISH)
        assert codec.decode_finish(payload).files_unchanged == 1
        peer.say(FrameType.BYE)
    assert (here / "file").read_bytes() == OLD


@pytest.mark.parametrize("breach", ["another file", "too many", "not told of"])
def test_unasked_chunks_have_bounds(here: Path, breach: str) -> None:
    with pushing_to(here) as peer:
        offer(peer, 0 if breach == "not told of" else AVERAGE, KEY)
        table = chunks_of(NEW * 4, fingerprint_key(KEY), AVERAGE)
        count = MAX_UNASKED // 10 + 1 if breach == "too many" else 10
        payload = FIRST + table.encode(0, count)
        peer.say(FrameType.CHUNKS, payload, file=int(breach == "another file"), count=count, flags=Flags.UNASKED)
        _, report = peer.hear(FrameType.ERROR)
        assert "nobody asked for" in codec.decode_error(report).text
    assert (here / "file").read_bytes() == OLD
    assert leftovers(here) == []
