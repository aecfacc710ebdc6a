"""CRC32C and BLAKE3 of every kernel: published values, and the slow ones of the oracle."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest

import oracle_checksums
from native_support import guarded
from parasync.kernels import blake3, blake3_extents, crc32c, crc32c_combine

DATA = random.Random(1).randbytes(1 << 17)

RFC_3720 = {
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(reversed(range(32))): 0x113FDB5C,
    b"123456789": 0xE3069283,
    b"": 0,
}

BLAKE3 = {
    0: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    1: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    1024: "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
    1025: "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
    31744: "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47",
    102400: "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
}
"""Of the bytes 0 to 250, over and over: from the test vectors that its authors publish."""


@pytest.mark.parametrize("data", RFC_3720)
def test_published_values_of_crc32c(kernel: str, data: bytes) -> None:
    assert crc32c(data, 0) == RFC_3720[data] == oracle_checksums.crc32c(data)


def test_crc32c_is_the_oracles(kernel: str) -> None:
    for size in (*range(1, 40), 255, 256, 767, 768, 769, 6143, 6144, 7000, 14_001):
        for start in (0, 1, 7):
            data = DATA[start : start + size]
            assert crc32c(data, 0) == oracle_checksums.crc32c(data), size


@pytest.mark.parametrize("at_start", [True, False])
def test_no_byte_outside_is_read(kernel: str, at_start: bool) -> None:
    for size in (1, 7, 8, 9, 63, 64, 65, 767, 768, 1023, 1024, 1025, 6144, 8192, 9001):
        view = guarded(DATA[:size], at_start=at_start)
        assert crc32c(view, 0) == crc32c(DATA[:size], 0)
        assert blake3(view) == blake3(DATA[:size])


def test_crc32c_goes_on_and_combines(kernel: str) -> None:
    rng = random.Random(2)
    for _ in range(200):
        size = rng.randrange(1, 1 << 16)
        cut = rng.randrange(size + 1)
        left, right = crc32c(DATA[:cut], 0), crc32c(DATA[cut:size], 0)
        whole = crc32c(DATA[:size], 0)
        assert crc32c(DATA[cut:size], left) == whole
        assert crc32c_combine(left, right, size - cut) == whole
        assert crc32c_combine(left, whole, size - cut) == right


def test_crc32c_combines_over_any_distance(kernel: str) -> None:
    """Zeros can be appended one by one or all at once: powers of x add up."""
    for exponents in ((0, 1), (16, 15), (31, 33), (40, 47), (63, 62)):
        first, second = (1 << e for e in exponents)
        step = crc32c_combine(crc32c_combine(0x12345678, 0, first), 0, second)
        assert step == crc32c_combine(0x12345678, 0, first + second)


@pytest.mark.parametrize("size", BLAKE3)
def test_published_values_of_blake3(kernel: str, size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    assert blake3(data).hex() == BLAKE3[size]
    assert oracle_checksums.blake3(data).hex() == BLAKE3[size]


def test_blake3_is_the_oracles(kernel: str) -> None:
    for size in (2, 3, 63, 64, 65, 127, 128, 1023, 2048, 2049, 3072, 3073, 5000, 8192, 8193, 12_288, 17_000):
        assert blake3(DATA[:size]) == oracle_checksums.blake3(DATA[:size]), size


def packed(extents: list[tuple[int, int]]) -> bytes:
    return b"".join(struct.pack("<QQ", *extent) for extent in extents)


def test_extents_are_hashed_like_bytes(kernel: str, tmp_path: Path) -> None:
    """Short and long ones side by side, over the ends of the pieces in which the file is read."""
    path = tmp_path / "file"
    content = DATA * 12
    path.write_bytes(content)
    rng = random.Random(3)
    extents = [(0, len(content)), (5, 1), (len(content) - 1, 1), (7, 262_144), (8, 262_145), (1, 600_000)]
    extents += [(rng.randrange(1 << 20), rng.randrange(1, 20_000)) for _ in range(300)]
    fd = os.open(path, os.O_RDONLY)
    try:
        found = blake3_extents(fd, packed(extents))
        assert [found[32 * i : 32 * i + 32] for i in range(len(extents))] == [
            blake3(content[offset : offset + length]) for offset, length in extents
        ]
        assert blake3_extents(fd, b"") == b""
        with pytest.raises(EOFError):
            blake3_extents(fd, packed([(0, 1), (len(content) - 3, 4)]))
        for bad in ((0, 0), (1 << 63, 1), ((1 << 63) - 1, 2)):
            with pytest.raises(ValueError, match="extent"):
                blake3_extents(fd, packed([bad]))
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="descriptor"):
        blake3_extents(fd, packed([(0, 1)]))
