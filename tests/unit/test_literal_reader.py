from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_tables import KEY, extents, pack

from parasync._native import LiteralReader

DATA = random.Random(3).randbytes(100_000)


@pytest.fixture(scope="module")
def fd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    path = tmp_path_factory.mktemp("literals") / "target"
    path.write_bytes(DATA)
    number = os.open(path, os.O_RDONLY)
    yield number
    os.close(number)


def pieces(reader: LiteralReader, room: int, limit: int) -> Iterator[tuple[list[tuple[int, int]], bytes]]:
    buffer = bytearray(room)
    while True:
        batch, filled = reader.fill(buffer, limit)
        if not filled:
            assert batch == b""
            return
        yield extents(batch), bytes(buffer[:filled])


extent_lists = st.lists(
    st.integers(0, len(DATA) - 1).flatmap(lambda o: st.tuples(st.just(o), st.integers(1, min(5000, len(DATA) - o)))),
    max_size=20,
)


@settings(deadline=None)
@given(extent_lists, st.integers(1, 20000), st.integers(1, 8))
def test_pieces_are_the_extents_in_order(fd: int, wanted: list[tuple[int, int]], room: int, limit: int) -> None:
    reader = LiteralReader(fd, pack(wanted), len(DATA), None)
    assert reader.total == sum(length for _, length in wanted)
    parts: list[tuple[int, int]] = []
    for found, data in pieces(reader, room, limit):
        assert 1 <= len(found) <= limit
        assert data == b"".join(DATA[offset : offset + length] for offset, length in found)
        # A piece ends early only at its limit or at the end of all.
        assert len(data) == room or len(found) == limit or sum(p[1] for p in parts + found) == sum(w[1] for w in wanted)
        parts += found
    assert reader.fill(bytearray(1), 1) == (b"", 0)
    # Joining the parts of split extents gives the extents back.
    joined: list[tuple[int, int]] = []
    for offset, length in parts:
        done = joined[-1][1] if joined else 0
        if joined and len(joined) <= len(wanted) and done < wanted[len(joined) - 1][1]:
            assert offset == joined[-1][0] + done
            joined[-1] = (joined[-1][0], done + length)
        else:
            joined.append((offset, length))
    assert joined == wanted


@settings(deadline=None)
@given(st.lists(st.integers(0, len(DATA)), max_size=10), st.randoms(use_true_random=False), st.integers(500, 60000))
def test_extents_that_cover_the_file_sum_to_its_fingerprint(
    fd: int, cuts: list[int], rng: random.Random, room: int
) -> None:
    places = sorted({0, len(DATA), *cuts})
    wanted = [(a, b - a) for a, b in pairwise(places)]
    rng.shuffle(wanted)
    reader = LiteralReader(fd, pack(wanted), len(DATA), KEY)
    assert reader.fingerprint() == bytes(16)
    for _ in pieces(reader, room, 3):
        pass
    assert reader.fingerprint() == KEY.fingerprint(DATA)


def test_a_part_sums_as_the_file_with_zeros_elsewhere(fd: int) -> None:
    reader = LiteralReader(fd, pack([(5000, 300), (70000, 7)]), len(DATA), KEY)
    for _ in pieces(reader, 100, 9):
        pass
    rest = bytearray(len(DATA))
    rest[5000:5300] = DATA[5000:5300]
    rest[70000:70007] = DATA[70000:70007]
    assert reader.fingerprint() == KEY.fingerprint(rest)


def test_without_a_key_there_is_no_fingerprint(fd: int) -> None:
    reader = LiteralReader(fd, pack([(0, 10)]), len(DATA), None)
    reader.fill(bytearray(10), 1)
    with pytest.raises(ValueError, match="no key"):
        reader.fingerprint()


@pytest.mark.parametrize("key", [None, KEY])
def test_nothing_wanted(fd: int, key: object) -> None:
    assert LiteralReader(fd, b"", len(DATA), key).fill(bytearray(5), 1) == (b"", 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "extent",
    [
        (0, 0),
        (100_000, 1),
        (99_999, 2),
        (0, 100_001),
        (100_001, 1),
        ((1 << 64) - 1, 1),
        (1, (1 << 64) - 1),
        ((1 << 63), 1 << 63),
        (0, (1 << 64) - 1),
    ],
)
def test_refuses_extents_beyond_the_file(fd: int, extent: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="reaches beyond"):
        LiteralReader(fd, pack([(0, 10), extent]), len(DATA), None)


@pytest.mark.parametrize("data", [b"x", bytes(15), bytes(17)])
def test_refuses_bytes_that_are_not_extents(fd: int, data: bytes) -> None:
    with pytest.raises(ValueError, match="not whole records"):
        LiteralReader(fd, data, len(DATA), None)


def test_refuses_a_size_that_no_file_has(fd: int) -> None:
    with pytest.raises(ValueError, match="no file has"):
        LiteralReader(fd, b"", 1 << 63, None)


def test_refuses_extents_whose_sum_overflows(fd: int) -> None:
    largest = (1 << 63) - 1
    with pytest.raises(ValueError, match="more than any file"):
        LiteralReader(fd, pack([(0, largest)] * 3), largest, None)


def test_refuses_to_fill_nothing(fd: int) -> None:
    """An empty piece would look like the end."""
    reader = LiteralReader(fd, pack([(0, 10)]), len(DATA), None)
    for room, limit in ((0, 1), (5, 0)):
        with pytest.raises(ValueError, match="needs a buffer"):
            reader.fill(bytearray(room), limit)
    with pytest.raises(BufferError):
        reader.fill(bytes(10), 1)
    assert reader.fill(bytearray(20), 1) == (pack([(0, 10)]), 10)


def test_fills_part_of_a_larger_buffer(fd: int) -> None:
    buffer = bytearray(b"-" * 30)
    reader = LiteralReader(fd, pack([(40, 10)]), len(DATA), None)
    reader.fill(memoryview(buffer)[10:25], 1)
    assert buffer == b"-" * 10 + DATA[40:50] + b"-" * 10


def test_a_file_that_shrank(tmp_path: Path) -> None:
    path = tmp_path / "target"
    path.write_bytes(DATA[:1000])
    with path.open("r+b") as file:
        reader = LiteralReader(file.fileno(), pack([(100, 100), (500, 400)]), 1000, None)
        file.truncate(600)
        buffer = bytearray(1000)
        assert reader.fill(buffer, 1) == (pack([(100, 100)]), 100)
        for _ in range(2):
            with pytest.raises(EOFError, match="byte 600"):
                reader.fill(buffer, 1)


def test_a_read_error(tmp_path: Path) -> None:
    with (tmp_path / "target").open("wb") as file:
        reader = LiteralReader(file.fileno(), pack([(0, 10)]), 10, None)
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            reader.fill(bytearray(10), 1)
    assert caught.value.errno == errno.EBADF


def test_a_directory(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            LiteralReader(directory, pack([(0, 10)]), 10, None).fill(bytearray(10), 1)
    finally:
        os.close(directory)
