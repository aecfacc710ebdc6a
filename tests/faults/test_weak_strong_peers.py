"""Weak + strong matching with peers that stall, lie, or do not know it."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest
from test_peers import KEY, NEW, OLD, entry, intact, pushed_to, pushing_to

from parasync import sync
from parasync.chunking import chunk_file
from parasync.config import MATCHING_WEAK_STRONG, TOKENS_IN_FLIGHT
from parasync.errors import ProtocolError, UsageError, VersionError
from parasync.kernels import FingerprintKey, blake3, crc32c, fingerprint_key
from parasync.model import Entry, Need
from parasync.options import Options
from parasync.server import Module
from parasync.tracing import Tracer
from parasync.wire import batches, codec, content
from parasync.wire.messages import FEATURES, Flags, FrameType, NeedItem, Welcome
from support import ScriptedPeer, hello, leftovers, serving
from weak_strong_support import colliding

OPTIONS = Options(matching=MATCHING_WEAK_STRONG)


@pytest.fixture
def basis(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(OLD)
    return tmp_path


def offer(peer: ScriptedPeer, *entries: Entry) -> FingerprintKey:
    """Push these entries, which are wanted as deltas, to a real receiver."""
    peer.say(FrameType.HELLO, hello(push=True, matching=MATCHING_WEAK_STRONG, chunking="paper"))
    _, payload = peer.hear(FrameType.WELCOME)
    peer.say(FrameType.ENTRIES, codec.encode_entries(entries), count=len(entries))
    _, needs = peer.hear(FrameType.NEEDS)
    assert [item.need for item in content.decode_needs(needs)] == [Need.DELTA] * len(entries)
    return fingerprint_key(codec.decode_welcome(payload).key)


def chunks_of_basis(here: Path) -> list[tuple[int, int, bytes]]:
    """(offset, length, content) of the basis's chunks, by the paper's rule."""
    data = (here / "file").read_bytes()
    with open(here / "file", "rb") as file:
        table = chunk_file(file.fileno(), len(data), fingerprint_key(KEY), 8192, 1, rule="paper").table
    rows = [table.chunk(i)[:2] for i in range(len(table))]
    return [(offset, length, data[offset : offset + length]) for offset, length in rows]


def weak(*pieces: bytes) -> bytes:
    return b"".join(crc32c(piece, 0).to_bytes(4, "little") for piece in pieces)


def copies(verified: int, *records: tuple[int, int, int]) -> bytes:
    return batches.encode_mark(verified) + b"".join(struct.pack("<QQQ", *record) for record in records)


def token(piece: bytes, offset: int = 0, strong: bytes | None = None, length: int | None = None) -> bytes:
    size = len(piece) if length is None else length
    return struct.pack("<IIQ", crc32c(piece, 0), size, offset) + (blake3(piece) if strong is None else strong)


# -- neither side waits for the other's whole list ------------------------------------------------


def test_the_receiver_answers_the_first_batch_before_it_hears_more(basis: Path) -> None:
    offset, length, piece = chunks_of_basis(basis)[7]
    with pushing_to(basis) as peer:
        offer(peer, entry())
        peer.say(FrameType.WEAK, weak(b"nowhere", piece), count=2)
        # Nothing more is said, and the answer must come all the same.
        header, payload = peer.hear(FrameType.TOKENS)
        while not header.count:
            header, payload = peer.hear(FrameType.TOKENS)
        _, tokens = batches.decode_tokens(payload)
        assert tokens == struct.pack("<IIQ", crc32c(piece, 0), length, offset) + blake3(piece)
        resolved = batches.decode_tokens(payload)[0]
        while resolved != 2:
            resolved, _ = batches.decode_tokens(peer.hear(FrameType.TOKENS)[1])


def hear_weak(peer: ScriptedPeer, name: str = "file") -> list[int]:
    """Ask a real sender for a delta; its first weak checksums."""
    peer.greet()
    peer.hear(FrameType.HELLO)
    peer.say(FrameType.WELCOME, codec.encode_welcome(Welcome(key=KEY, features=list(FEATURES))))
    peer.hear(FrameType.ENTRIES)
    peer.say(FrameType.NEEDS, content.encode_needs([NeedItem(0, Need.DELTA, 8192)]), count=1)
    header, payload = peer.hear(FrameType.WEAK)
    assert len(payload) == 4 * header.count
    return [value for (value,) in struct.iter_unpack("<I", payload)]


def test_the_sender_answers_the_first_tokens_before_its_list_is_complete(tmp_path: Path) -> None:
    """Random content before zeros without end: the list is short, and the file takes long to read."""
    content = random.Random(1).randbytes(8 << 20)
    with open(tmp_path / "file", "wb") as file:
        file.write(content)
        file.truncate(3 << 30)
    with pushed_to(tmp_path / "file", OPTIONS) as (peer, _):
        values = hear_weak(peer)
        with open(tmp_path / "file", "rb") as file:
            table = chunk_file(file.fileno(), len(content), fingerprint_key(KEY), 8192, 1).table
        offset, length, _ = table.chunk(3)
        piece = content[offset : offset + length]
        assert values[3] == crc32c(piece, 0)
        peer.say(FrameType.TOKENS, batches.encode_mark(2) + token(piece, 777), count=1)
        heard = {}
        while len(heard) < 2:
            header, payload = peer.hear(FrameType.COPIES, FrameType.LITERAL, FrameType.FILE_END)
            assert header.type is not FrameType.FILE_END
            heard[header.type] = payload
        assert heard[FrameType.COPIES] == copies(1, (offset, 777, length))
        # The first two checksums are resolved without a token: their chunks are literals.
        first = table.chunk(2)[0]
        assert heard[FrameType.LITERAL] == struct.pack("<QQ", 0, first) + content[:first]


# -- collisions, and tokens that lie -----------------------------------------------------------------


def test_a_collision_of_weak_checksums_is_rejected_and_sent(tmp_path: Path) -> None:
    """Two chunks of equal length and CRC32C: BLAKE3 tells them apart, and what differs is sent."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (target / "file").write_bytes(OLD)
    offset, length, _ = chunks_of_basis(target)[100]
    for position in range(offset + 1000, offset + length - 400):
        (source / "file").write_bytes(colliding(OLD, position))
        if [row[:2] for row in chunks_of_basis(source)] == [row[:2] for row in chunks_of_basis(target)]:
            break
    else:
        pytest.fail("every collision changes the cuts")
    there, here = chunks_of_basis(target)[100][2], chunks_of_basis(source)[100][2]
    assert there != here
    assert crc32c(there, 0) == crc32c(here, 0)
    options = Options(matching=MATCHING_WEAK_STRONG, chunking="paper", ignore_times=True)
    report = sync(f"{source}/", target, options)
    assert (target / "file").read_bytes() == (source / "file").read_bytes()
    assert report.totals.bytes_literal == length
    assert report.totals.bytes_copied == len(OLD) - length


@pytest.mark.parametrize("lie", ["strong", "length"])
def test_tokens_that_are_not_the_target_s_lead_to_literals(tmp_path: Path, lie: str) -> None:
    (tmp_path / "file").write_bytes(NEW[:300_000])
    with pushed_to(tmp_path / "file", OPTIONS) as (peer, _):
        values = hear_weak(peer)
        strong = bytes(32)
        tokens = b"".join(struct.pack("<IIQ", value, 8192, 0) + strong for value in values)
        if lie == "length":
            tokens = b"".join(struct.pack("<IIQ", value, (1 << 32) - 1, 0) + strong for value in values)
        peer.say(FrameType.TOKENS, batches.encode_mark(len(values)) + tokens, count=len(values))
        covered = bytearray()
        while len(covered) < 300_000:
            header, payload = peer.hear(FrameType.COPIES, FrameType.LITERAL)
            if header.type is FrameType.COPIES:
                assert payload == copies(len(values))
            else:
                assert not header.flags & Flags.ZSTD
                covered += payload[16 * header.count :]
        assert covered == NEW[:300_000]


TOKEN = token(b"nowhere", strong=bytes(32))
BAD_TOKENS = {
    "of a checksum that was not sent": (0, TOKEN, 1),
    "of no length": (0, b"", 1),
    "resolved more than there are": (1 << 31, b"", 0),
    "more than may be in flight": (0, TOKEN * (TOKENS_IN_FLIGHT + 1), TOKENS_IN_FLIGHT + 1),
}


@pytest.mark.parametrize("what", BAD_TOKENS)
def test_bad_tokens_end_the_session_with_a_report(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_bytes(NEW[:300_000])
    with pushed_to(tmp_path / "file", OPTIONS) as (peer, outcome):
        values = hear_weak(peer)
        resolved, tokens, count = BAD_TOKENS[what]
        if what == "of no length":
            tokens = struct.pack("<IIQ", values[0], 0, 0) + bytes(32)
        peer.say(FrameType.TOKENS, batches.encode_mark(resolved) + tokens, count=count)
        peer.hear(FrameType.ERROR)
    assert isinstance(outcome[0], ProtocolError)
    assert "tokens of 'file'" in str(outcome[0])


def test_resolved_never_descends(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(NEW[:300_000])
    with pushed_to(tmp_path / "file", OPTIONS) as (peer, outcome):
        hear_weak(peer)
        for resolved in (3, 2):
            peer.say(FrameType.TOKENS, batches.encode_mark(resolved))
        peer.hear(FrameType.ERROR)
    assert isinstance(outcome[0], ProtocolError)


# -- commands that lie -------------------------------------------------------------------------------

SIZE = len(NEW)
BAD_COPIES = {
    "beyond the target": [(SIZE - 1, 0, 2)],
    "beyond the basis": [(0, len(OLD) - 1, 2)],
    "that wraps in the basis": [(0, (1 << 64) - 1, 2)],
    "that wraps in the target": [((1 << 64) - 1, 0, 2)],
    "of no length": [(0, 0, 0)],
    "of more than the file": [(0, 0, len(OLD))] * 7,
}


@pytest.mark.parametrize("what", BAD_COPIES)
def test_copies_never_lead_outside(basis: Path, what: str) -> None:
    log: list[str] = []
    _, _, piece = chunks_of_basis(basis)[0]
    with pushing_to(basis, log) as peer:
        offer(peer, entry())
        peer.say(FrameType.WEAK, weak(piece), count=1)
        while not peer.hear(FrameType.TOKENS)[0].count:
            pass
        for record in BAD_COPIES[what]:
            peer.say(FrameType.COPIES, copies(0, record), count=1)
        _, report = peer.hear(FrameType.ERROR)
        assert codec.decode_error(report).code == "protocol"
    assert intact(basis)
    assert len(log) == 1


NONSENSE = {
    "an answer to tokens that were not sent": (FrameType.COPIES, copies(2), 0),
    "a checksum twice": (FrameType.WEAK, weak(b"x", b"x"), 2),
    "a checksum again": (FrameType.WEAK, weak(b"first"), 1),
    "more checksums than chunks": (FrameType.WEAK, b"".join(i.to_bytes(4, "little") for i in range(5000)), 5000),
    "chunks, which the other way of matching has": (FrameType.CHUNKS, b"\x00\x20" + bytes(16), 1),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_ends_the_session_with_a_report(basis: Path, what: str) -> None:
    kind, payload, count = NONSENSE[what]
    _, _, piece = chunks_of_basis(basis)[0]
    with pushing_to(basis) as peer:
        offer(peer, entry())
        peer.say(FrameType.WEAK, weak(b"first", piece), count=2)
        while not peer.hear(FrameType.TOKENS)[0].count:
            pass
        peer.say(kind, payload, count=count)
        _, report = peer.hear(FrameType.ERROR)
        assert codec.decode_error(report).code == "protocol"
    assert intact(basis)


@pytest.mark.parametrize("kind", [FrameType.WEAK, FrameType.COPIES])
def test_the_frames_are_a_breach_in_another_session(basis: Path, kind: FrameType) -> None:
    with pushing_to(basis) as peer:
        peer.say(FrameType.HELLO, hello(push=True))
        peer.hear(FrameType.WELCOME)
        peer.say(FrameType.ENTRIES, codec.encode_entries([entry()]), count=1)
        peer.hear(FrameType.NEEDS)
        peer.say(kind, bytes(4), count=int(kind is FrameType.WEAK))
        _, report = peer.hear(FrameType.ERROR)
        assert codec.decode_error(report).code == "protocol"
    assert intact(basis)


def test_wants_are_a_breach_in_this_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(NEW[:300_000])
    with pushed_to(tmp_path / "file", OPTIONS) as (peer, outcome):
        hear_weak(peer)
        peer.say(FrameType.WANTS, (0).to_bytes(8, "little") + (4096).to_bytes(8, "little"), count=1)
        peer.hear(FrameType.ERROR)
    assert isinstance(outcome[0], ProtocolError)


def test_wrong_commands_are_found_out_and_the_file_is_asked_for_whole(basis: Path) -> None:
    """Copies may lead to wrong content, but never into the file: what was written is verified as ever."""
    _, _, piece = chunks_of_basis(basis)[0]
    data = NEW[: 2 * len(piece)]
    with pushing_to(basis) as peer:
        key = offer(peer, entry(size=len(data)))
        peer.say(FrameType.WEAK, weak(piece), count=1)
        peer.say(FrameType.FILE_END, key.fingerprint(data))
        while not peer.hear(FrameType.TOKENS)[0].count:
            pass
        peer.say(FrameType.COPIES, copies(1, (0, 0, len(piece)), (len(piece), 0, len(piece))), count=2)
        header, payload = peer.hear(FrameType.NEEDS)
        assert header.count == 0
        assert content.decode_needs(payload) == [NeedItem(0, Need.WHOLE, 8192)]
        # News of the first attempt are ignored.
        peer.say(FrameType.COPIES, copies(0, (0, 0, 1)), count=1)
        peer.say(FrameType.LITERAL, struct.pack("<QQ", 0, len(data)) + data, count=1, flags=Flags.RETRY)
        peer.say(FrameType.FILE_END, key.fingerprint(data), flags=Flags.RETRY)
        peer.hear(FrameType.FILES_DONE)
        # And the answer to a token that was not needed may come after the file is done.
        peer.say(FrameType.COPIES, copies(1))
        peer.say(FrameType.ENTRIES_END, count=1)
        _, payload = peer.hear(FrameType.FINISH)
        assert codec.decode_finish(payload).status == "ok"
        peer.say(FrameType.BYE)
    assert (basis / "file").read_bytes() == data
    assert leftovers(basis) == []


# -- peers that do not know it -------------------------------------------------------------------------


@pytest.mark.parametrize("push", [True, False])
@pytest.mark.parametrize("field", ["chunking", "matching"])
def test_a_server_refuses_what_it_does_not_know(basis: Path, push: bool, field: str) -> None:
    with pushing_to(basis) as peer:
        fields: dict[str, object] = {field: "tomorrow's"}
        if not push:
            fields |= {"key": KEY, "paths": [b"file"]}
        peer.say(FrameType.HELLO, hello(push=push, **fields))
        _, report = peer.hear(FrameType.ERROR)
        assert codec.decode_error(report).code == "usage"
        assert f"--{field}" in codec.decode_error(report).text
    assert intact(basis)


@pytest.mark.parametrize(
    ("options", "named"),
    [(OPTIONS, "--matching weak-strong"), (Options(chunking="paper"), "--chunking paper")],
)
def test_a_client_tells_that_an_older_server_does_not_know_it(tmp_path: Path, options: Options, named: str) -> None:
    (tmp_path / "file").write_bytes(NEW[:300_000])
    with pushed_to(tmp_path / "file", options) as (peer, outcome):
        peer.greet()
        peer.hear(FrameType.HELLO)
        peer.say(FrameType.WELCOME, codec.encode_welcome(Welcome(key=KEY, features=["zstd"])))
        _, report = peer.hear(FrameType.ERROR)
        assert codec.decode_error(report).code == "version"
    assert isinstance(outcome[0], VersionError)
    assert named in str(outcome[0])
    assert "\n" not in str(outcome[0])


def test_unknown_values_are_a_usage_error() -> None:
    for wrong in ({"chunking": "x"}, {"matching": "y"}):
        with pytest.raises(UsageError, match="is not known here"):
            Options(**wrong)  # type: ignore[arg-type]


# -- skew ------------------------------------------------------------------------------------------------


def test_one_checksum_of_many_chunks_is_hashed_by_all_threads(tmp_path: Path) -> None:
    """A repeated block on both sides, and one difference: slices are shared out on either side."""
    source, target = tmp_path / "source", tmp_path / "target"
    for folder, first in ((source, b"new"), (target, b"old")):
        folder.mkdir()
        with open(folder / "file", "wb") as file:
            file.write(first)
            file.truncate(100_000_000)
    tracer = Tracer()
    options = Options(matching=MATCHING_WEAK_STRONG, average=2048, threads=3, ignore_times=True)
    with serving(Module("m", os.fsencode(target), read_only=False)) as url:
        report = sync(f"{source}/", f"{url}/m", options, None, tracer)
    assert (target / "file").read_bytes() == (source / "file").read_bytes()
    assert report.totals.bytes_literal == 3072
    for spans in (tracer.spans, tracer.peer_spans):
        hashing = [span for span in spans if span.name == "strong"]
        assert len({span.thread for span in hashing}) >= 2
