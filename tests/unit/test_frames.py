"""Preambles and frame headers: their bytes, and what is refused before anything is allocated for it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parasync.config import MAX_FRAME
from parasync.errors import ProtocolError, VersionError
from parasync.wire import codec
from parasync.wire.messages import (
    MAX_BATCH,
    MAX_FINISH,
    MAX_HELLO,
    MAX_REPORT,
    NO_FILE,
    RULES,
    Flags,
    FrameType,
    Header,
)


def test_constants_of_the_layout() -> None:
    assert (codec.PREAMBLE_BYTES, codec.HEADER_BYTES, codec.EXTENT_BYTES) == (12, 16, 16)


# -- preamble -------------------------------------------------------------------------------


def test_preamble() -> None:
    assert codec.encode_preamble() == b"ParaSync\x01\x00\x00\x00"
    codec.check_preamble(codec.encode_preamble(), "host:1")


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-Open", b"@RSYNCD: 31.", b"GET / HTTP/1", b"\x16\x03\x01" + bytes(9), b"", b"ParaSync"]
)
def test_another_protocol(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"^host:1 does not speak the ParaSync protocol") as caught:
        codec.check_preamble(data, "host:1")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("version", "where"), [(0, "there"), (2, "here"), (65535, "here")])
def test_another_version(version: int, where: str) -> None:
    with pytest.raises(VersionError, match=f"version {version} of the protocol, this side version 1: .* {where}$"):
        codec.check_preamble(struct.pack("<8sHH", b"ParaSync", version, 0), "host:1")


def test_reserved_bits_of_the_preamble() -> None:
    with pytest.raises(ProtocolError):
        codec.check_preamble(b"ParaSync\x01\x00\x01\x00", "host:1")


# -- header ---------------------------------------------------------------------------------


def test_every_frame_type_has_a_rule() -> None:
    assert set(RULES) == set(FrameType)


@given(st.data(), st.sampled_from(FrameType))
def test_header_round_trip(data: st.DataObject, kind: FrameType) -> None:
    rule = RULES[kind]
    count = data.draw(st.integers(*rule.counts))
    shortest = rule.fixed[0] + count * rule.each[0]
    length = data.draw(st.integers(shortest, min(MAX_FRAME, rule.fixed[1] + count * rule.each[1])))
    least, most = rule.file
    if most < NO_FILE:  # in some frames `count` entries follow each other from `file` on
        most = max(least, min(most, NO_FILE - count))
    file = data.draw(st.integers(least, most))
    flags = data.draw(st.sampled_from([0, rule.flags]))
    encoded = codec.encode_header(kind, flags, file, count, length)
    assert len(encoded) == codec.HEADER_BYTES
    assert codec.decode_header(encoded) == Header(kind, flags, file, count, length)


def test_header_layout() -> None:
    encoded = codec.encode_header(FrameType.LITERAL, Flags.RETRY, file=0x01020304, count=3, length=0x1000)
    assert encoded == bytes([9, 2, 0, 0, 4, 3, 2, 1, 3, 0, 0, 0, 0, 0x10, 0, 0])


REFUSED = [
    (FrameType.HELLO, 0, 0, 0, MAX_HELLO + 1),
    (FrameType.HELLO, 0, 0, 0, 0),
    (FrameType.HELLO, 0, 1, 0, 10),
    (FrameType.HELLO, 0, 0, 1, 10),
    (FrameType.ENTRIES, 0, 0, 0, 1),
    (FrameType.ENTRIES, 0, 0, MAX_BATCH + 1, MAX_FRAME),
    (FrameType.ENTRIES, 0, 0, 1000, 1000),
    (FrameType.ENTRIES, 0, 0, 1, MAX_FRAME + 1),
    (FrameType.ENTRIES, 0, NO_FILE - 1, 2, 100),
    (FrameType.ENTRIES_END, 0, 0, 5, 1),
    (FrameType.NEEDS, 0, 0, MAX_BATCH + 1, 100),
    (FrameType.NEEDS, 0, 0, 0, 0),
    (FrameType.NEEDS, 0, NO_FILE - 1, 2, 100),
    (FrameType.SMALL, Flags.RETRY, 0, 100, 1000),
    (FrameType.CHUNKS, 0, 1, 10, 183),
    (FrameType.CHUNKS, 0, 1, 10, 205),
    (FrameType.CHUNKS, 0, NO_FILE, 10, 184),
    (FrameType.WEAK, 0, 1, 0, 0),
    (FrameType.WEAK, 0, 1, 2, 7),
    (FrameType.TOKENS, 0, 1, 0, 0),
    (FrameType.TOKENS, 0, 1, 0, 52),
    (FrameType.TOKENS, 0, 1, 1, 51),
    (FrameType.COPIES, 0, 1, 0, 3),
    (FrameType.COPIES, 0, 1, 2, 53),
    (FrameType.COPIES, 1, 1, 0, 4),
    (FrameType.WANTS, 0, 1, 0, 0),
    (FrameType.WANTS, 0, 1, 2, 31),
    (FrameType.WANTS, 0, 1, 2, 33),
    (FrameType.LITERAL, 0, 1, 2, 32),
    (FrameType.LITERAL, Flags.ZSTD, 1, 2, 32),
    (FrameType.LITERAL, 0x80, 1, 2, 40),
    (FrameType.LITERAL, 0, 1, 1, MAX_FRAME + 1),
    (FrameType.FILE_END, 0, 1, 0, 15),
    (FrameType.FILE_END, 0, NO_FILE, 0, 16),
    (FrameType.FILE_FAILED, 0, 0, 0, MAX_REPORT + 1),
    (FrameType.FILES_DONE, 0, 0, 3, 11),
    (FrameType.FINISH, 0, 0, 0, MAX_FINISH + 1),
    (FrameType.BYE, 0, 0, 0, 1),
    (FrameType.KEEPALIVE, Flags.RETRY, 0, 0, 0),
    (FrameType.ERROR, 0, 0, 0, MAX_REPORT + 1),
]


@pytest.mark.parametrize("fields", REFUSED)
def test_impossible_headers_are_neither_sent_nor_accepted(fields: tuple[FrameType, int, int, int, int]) -> None:
    kind, flags, file, count, length = fields
    with pytest.raises(ProtocolError, match=f"^{kind.name} frame ") as caught:
        codec.decode_header(struct.pack("<BBHIII", kind, flags, 0, file, count, length))
    assert str(caught.value).isprintable()
    with pytest.raises(ProtocolError):
        codec.encode_header(kind, flags, file, count, length)


@pytest.mark.parametrize("number", [0, 23, 255])
def test_unknown_frame_types(number: int) -> None:
    with pytest.raises(ProtocolError, match=f"unknown type {number}"):
        codec.decode_header(struct.pack("<BBHIII", number, 0, 0, 0, 0, 0))


def test_reserved_bits_of_the_header() -> None:
    with pytest.raises(ProtocolError, match="reserved"):
        codec.decode_header(struct.pack("<BBHIII", FrameType.KEEPALIVE, 0, 1, 0, 0, 0))


def test_the_limit_of_a_frame_can_be_lower() -> None:
    header = codec.encode_header(FrameType.LITERAL, file=1, count=1, length=5000)
    assert codec.decode_header(header, 5000).length == 5000
    with pytest.raises(ProtocolError, match="LITERAL frame of 5000 bytes"):
        codec.decode_header(header, 4999)
