"""Hostile bytes: every decoder answers them with a message or with ProtocolError (VersionError), in bounded memory."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parasync.config import MAX_FRAME
from parasync.errors import ProtocolError, VersionError
from parasync.model import Entry, Kind, Need
from parasync.wire import batches, codec, content
from parasync.wire.messages import (
    MAX_BATCH,
    RULES,
    Failed,
    Finish,
    FrameType,
    Hello,
    NeedItem,
    SmallFile,
    Welcome,
)
from parasync.wire.state import ProtocolState

pack = msgspec.msgpack.encode

VALID: dict[Callable[[bytes], Any], bytes] = {
    codec.decode_header: codec.encode_header(FrameType.LITERAL, file=7, count=2, length=1000),
    codec.decode_hello: codec.encode_hello(
        Hello(push=False, module="data", paths=[b"one", b"two"], key=b"k" * 16, software="parasync 1", features=["f"])
    ),
    codec.decode_welcome: codec.encode_welcome(Welcome(key=b"k" * 16, software="parasync 1")),
    codec.decode_entries: codec.encode_entries(
        [
            Entry(b"", Kind.DIRECTORY, 0, -5, 0o755),
            Entry(b"a/b", Kind.FILE, 1 << 40, 1 << 60, 0o644),
            Entry(b"a/l", Kind.SYMLINK, 0, 0, 0o777, b"../b"),
        ]
    ),
    content.decode_needs: content.encode_needs(
        [
            NeedItem(0, Need.WHOLE, 0),
            NeedItem(70_000, Need.DELTA, 8192),
            NeedItem(9, Need.COMPARE, 8192, b"f" * 16),
            NeedItem(10, Need.PATCH, 2048, b"f" * 16, b"c" * 20),
        ]
    ),
    content.decode_small: content.encode_small(
        [
            SmallFile(1, True, b"f" * 16, b""),
            SmallFile(2, False, b"g" * 16, b"content" * 30),
            SmallFile(3, False, b"g" * 16, b"content", b"o" * 48),
        ]
    ),
    codec.decode_indices: codec.encode_indices([1, 2, 1 << 31]),
    codec.decode_failed: codec.encode_failed(Failed(b"a/b", "vanished", "'a/b' vanished")),
    codec.decode_finish: codec.encode_finish(
        Finish(
            status="partial",
            files_total=3,
            files_sent=1,
            files_unchanged=1,
            files_failed=1,
            bytes_target=1,
            bytes_copied=2,
            bytes_literal=3,
            failures=[Failed(b"a", "code", "message")],
        )
    ),
    codec.decode_error: codec.encode_error("protocol", "what happened", False),
    batches.decode_tokens: batches.encode_mark(7) + bytes(range(96)),
    batches.decode_copies: batches.encode_mark(7) + bytes(range(72)),
}
decoders = pytest.mark.parametrize("decode", list(VALID), ids=lambda decode: decode.__name__)


def survives(decode: Callable[[bytes], Any], data: bytes) -> None:
    try:
        decode(data)
    except ProtocolError as error:
        assert type(error) is ProtocolError
        assert str(error).isprintable()
        assert len(str(error)) < 400


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` with a few bytes changed, removed, repeated or inserted."""
    mutated = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(mutated) + 1)
        match rng.randrange(5):
            case 0:
                mutated[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del mutated[at : at + rng.choice((1, 2, 8, 1000))]
            case 2:
                mutated[at:at] = mutated[at : at + rng.choice((1, 5, 50))]
            case 3:
                mutated[at:at] = rng.choice((b"\xc0", b"\xff" * 4, b"\xdd\xff\xff\xff\xff", b"\xdf", b"\x91" * 600))
            case _:
                mutated[at : at + 1] = bytes([rng.choice((0xC4, 0xC6, 0xCF, 0xD3, 0xD9, 0xDB, 0xDD, 0x80, 0x90))])
    return bytes(mutated)


@decoders
def test_the_samples_are_valid(decode: Callable[[bytes], Any]) -> None:
    decode(VALID[decode])


@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    for decode in VALID:
        survives(decode, data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.binary() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=20,
    )
)
@settings(max_examples=300)
def test_random_values(value: object) -> None:
    for decode in VALID:
        survives(decode, pack(value))
        survives(decode, pack([value]))


@decoders
def test_mutated_messages(decode: Callable[[bytes], Any]) -> None:
    rng = random.Random(decode.__name__)
    for _ in range(1500):
        survives(decode, mutate(VALID[decode], rng))


@decoders
def test_every_truncation(decode: Callable[[bytes], Any]) -> None:
    whole = VALID[decode]
    for length in range(len(whole)):
        survives(decode, whole[:length])


@given(st.binary(max_size=40) | st.binary(max_size=4).map(lambda tail: b"ParaSync" + tail))
def test_preambles(data: bytes) -> None:
    try:
        codec.check_preamble(data, "host:1")
    except (ProtocolError, VersionError) as error:
        assert str(error).isprintable()
    else:
        assert data == codec.encode_preamble()


@given(
    st.binary(min_size=16, max_size=16)
    | st.builds(lambda kind, rest: bytes([kind]) + rest, st.integers(0, 23), st.binary(min_size=15, max_size=15))
)
@settings(max_examples=500)
def test_an_accepted_header_is_within_its_bounds(data: bytes) -> None:
    try:
        header = codec.decode_header(data)
    except ProtocolError:
        return
    rule = RULES[header.type]
    assert header.length <= MAX_FRAME
    assert rule.counts[0] <= header.count <= rule.counts[1]
    assert codec.encode_header(header.type, header.flags, header.file, header.count, header.length) == data


@pytest.mark.parametrize("role", ["sender", "receiver"])
@pytest.mark.parametrize("client", [True, False])
@given(frames=st.lists(st.tuples(st.booleans(), st.sampled_from(FrameType)), max_size=60))
def test_frames_in_any_order(role: Any, client: bool, frames: list[tuple[bool, FrameType]]) -> None:
    state = ProtocolState(role, client)
    for outgoing, kind in frames:
        try:
            (state.on_send if outgoing else state.on_receive)(kind)
        except ProtocolError as error:
            assert str(error).isprintable()


def peak(decode: Callable[[bytes], Any], data: bytes) -> int:
    """Bytes allocated at once while `data` is decoded or refused."""
    tracemalloc.start()
    try:
        survives(decode, data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


LIES = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdc\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x05",
    b"\x91\x96\xc6\xff\xff\xff\xf0",
    b"\x93\xc6\xff\xff\xff\xf0",
    b"\x91\xdd\xff\xff\xff\xff",
]


@decoders
@pytest.mark.parametrize("lie", LIES, ids=bytes.hex)
def test_claimed_sizes_allocate_nothing(decode: Callable[[bytes], Any], lie: bytes) -> None:
    assert peak(decode, lie) < 100_000
    assert peak(decode, lie + bytes(1000)) < 100_000


@pytest.mark.parametrize(
    ("decode", "item"),
    [
        (codec.decode_entries, b"\x96\xc4\x00\x01\x00\x00\x00\xc4\x00"),
        (content.decode_needs, b"\x94\x00\x00\x00\xc4\x00"),
        (content.decode_small, b"\x94\x00\xc3\xc4\x10" + bytes(16) + b"\xc4\x00"),
    ],
    ids=["entries", "needs", "small"],
)
def test_a_full_frame_of_the_smallest_items(decode: Callable[[bytes], Any], item: bytes) -> None:
    allowed = b"\xdd" + struct.pack(">I", MAX_BATCH) + item * MAX_BATCH
    assert len(decode(allowed)) == MAX_BATCH
    assert peak(decode, allowed) < 8 * MAX_FRAME
    count = MAX_FRAME // len(item)
    assert peak(decode, b"\xdd" + struct.pack(">I", count) + item * count) < 100_000


@decoders
@pytest.mark.parametrize("nested", [b"\x91", b"\x81\xa1x", b"\x81\xa4push"], ids=["lists", "maps", "fields"])
def test_deep_nesting(decode: Callable[[bytes], Any], nested: bytes) -> None:
    for start in (b"", b"\x81\xa5other", b"\x91\x97\xc4\x00\x01\x00\x00\x00\xc4\x00"):
        deep = start + nested * 100_000
        assert peak(decode, deep) < 20 * len(deep)
