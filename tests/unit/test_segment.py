"""Segments and their merger: files and memory, what they refuse, and what they leave behind after an error."""

from __future__ import annotations

import errno
import gc
import os
import random
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

import oracle
from native_support import KEY, SECRET, expected_chunks, native_chunks, rows
from oracle_checksums import shortened
from parasync.kernels import (
    CONTEXT,
    ChunkIndex,
    ChunkMatcher,
    ChunkTable,
    Merger,
    Segment,
    crc32c,
    fingerprint_key,
)

AVERAGE = 2048
SIZE = 700_001
DATA = random.Random(3).randbytes(SIZE)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("length", [SIZE, 262_144, 262_143, 100_000, CONTEXT - 1])
def test_a_file_gives_the_chunks_of_its_bytes(kernel: str, file: int, length: int) -> None:
    table = ChunkTable(AVERAGE, SIZE)
    merger = Merger(KEY, table)
    segment = Segment(length)
    for offset in range(0, SIZE, length):
        segment.scan_file(KEY, AVERAGE, file, offset, min(length, SIZE - offset))
        merger.merge(segment)
    assert table.end == SIZE
    assert rows(table) == native_chunks(DATA, AVERAGE)
    assert table.fold(KEY) == KEY.fingerprint(DATA)
    sent = table.encode(0, len(table))
    assert sent[2 * len(table) :] == b"".join(shortened(fingerprint) for _, fingerprint in rows(table))


def test_chunks_from_the_wire_are_found_among_those_of_a_file(file: int) -> None:
    basis = ChunkTable(AVERAGE, SIZE)
    merger, segment = Merger(KEY, basis), Segment(SIZE)
    segment.scan_file(KEY, AVERAGE, file, 0, SIZE)
    merger.merge(segment)
    target = ChunkTable(AVERAGE, SIZE)
    target.extend(basis.encode(0, len(basis)))
    known, received = ChunkIndex(basis), ChunkIndex(target)
    known.insert(0, len(basis))
    received.insert(0, len(target))
    numbers = array("I", range(len(basis))).tobytes()
    assert known.find(target, 0, len(target)) == received.find(basis, 0, len(basis)) == numbers
    for index, sought in ((known, target), (received, basis)):
        matcher = ChunkMatcher(sought, index, 1 << 30)
        assert matcher.match(0, len(sought)) == struct.pack("<QQQ", 0, 0, SIZE)


class TestBytesThatAreNotKept:
    """Pieces of a file are read over each other; what a forced cut needs again is read again."""

    data = DATA[:300_000] + b"\x01" * 300_000 + DATA[:100_000]  # nothing but forced cuts, between the marks

    @pytest.fixture
    def file(self, tmp_path: Path) -> Iterator[int]:
        (tmp_path / "file").write_bytes(self.data)
        fd = os.open(tmp_path / "file", os.O_RDWR)
        yield fd
        os.close(fd)

    @pytest.mark.parametrize("keep", [False, True])
    @pytest.mark.parametrize("weak", [False, True])
    @pytest.mark.parametrize("length", [len(data), 100_001])
    def test_give_the_same_chunks(self, file: int, length: int, keep: bool, weak: bool) -> None:
        table = ChunkTable(AVERAGE, len(self.data), weak)
        merger = Merger(KEY, table)
        segment = Segment(length)
        for offset in range(0, len(self.data), length):
            size = min(length, len(self.data) - offset)
            segment.scan_file(KEY, AVERAGE, file, offset, size, weak=weak, keep=keep)
            merger.merge(segment)
        assert merger.rehashed > 10_000
        assert rows(table) == expected_chunks(self.data, AVERAGE)
        if weak:
            end = 0
            for number, (size, _) in enumerate(rows(table)):
                assert table.weak(number, 1) == crc32c(self.data[end : end + size], 0).to_bytes(4, "little")
                end += size

    @pytest.mark.parametrize("filler", [0, 1])
    def test_are_not_needed_where_they_are_zeros(self, file: int, filler: int) -> None:
        data = DATA[:5_000] + bytes([filler]) * 95_000
        os.ftruncate(file, 0)
        os.pwrite(file, data, 0)
        merger = Merger(KEY, table := ChunkTable(AVERAGE, len(data)))
        segment = Segment(10_000)
        rehashed = []
        for offset in range(0, len(data), 10_000):
            segment.scan_file(KEY, AVERAGE, file, offset, 10_000)
            before = merger.rehashed
            merger.merge(segment)
            rehashed.append(merger.rehashed - before)
        assert rows(table) == expected_chunks(data, AVERAGE)
        assert (sum(rehashed[1:]) == 0) == (filler == 0)

    def test_are_missed_if_the_file_was_cut_meanwhile(self, file: int) -> None:
        segments = [Segment(100_000) for _ in range(7)]
        for number, segment in enumerate(segments):
            segment.scan_file(KEY, AVERAGE, file, number * 100_000, 100_000)
        os.ftruncate(file, 350_000)
        merger = Merger(KEY, ChunkTable(AVERAGE, len(self.data)))
        with pytest.raises(EOFError, match="cut while being read"):
            for segment in segments:
                merger.merge(segment)

    def test_cannot_be_copied_from(self, file: int) -> None:
        segment = Segment(1000)
        segment.scan_file(KEY, AVERAGE, file, 0, 1000)
        with pytest.raises(ValueError, match="without keeping"):
            segment.partition(b"")
        segment.scan_file(KEY, AVERAGE, file, 0, 1000, keep=True)
        assert segment.partition(b"") == (b"", b"")


def test_segments_may_be_scanned_in_any_order(file: int) -> None:
    length = 50_000
    segments = [Segment(length) for _ in range(0, SIZE, length)]
    for number in random.Random(4).sample(range(len(segments)), len(segments)):
        offset = number * length
        segments[number].scan_file(KEY, AVERAGE, file, offset, min(length, SIZE - offset))
    table = ChunkTable(AVERAGE, SIZE)
    merger = Merger(KEY, table)
    for segment in segments:
        merger.merge(segment)
    assert rows(table) == native_chunks(DATA, AVERAGE)


def test_a_segment_is_as_good_as_new_for_the_next_file() -> None:
    segment = Segment(10_000)
    for begin in (0, 5000, 100, 90_000):
        data = DATA[begin : begin + 10_000]
        table = ChunkTable(AVERAGE, len(data))
        segment.scan_buffer(KEY, AVERAGE, data, 0, len(data))
        Merger(KEY, table).merge(segment)
        assert rows(table) == native_chunks(data, AVERAGE)


def test_the_zeros_before_a_file_are_zeros_after_any_use(file: int) -> None:
    segment = Segment(10_000)
    for begin in range(0, 200 * 300, 300):
        segment.scan_buffer(KEY, AVERAGE, DATA, begin, 10_000)
        data = DATA[begin : begin + 300]
        segment.scan_buffer(KEY, AVERAGE, data, 0, len(data))
        assert segment.candidates == len(oracle.candidates(data, AVERAGE)), begin
    of_zeros = len(oracle.candidates(DATA[:300], AVERAGE))
    for begin in range(1000, 200_000, 1000):
        segment.scan_file(KEY, AVERAGE, file, begin, 10_000)
        segment.scan_file(KEY, AVERAGE, file, 0, 300)
        assert segment.candidates == of_zeros, begin


def test_scanned_memory_is_kept_alive() -> None:
    """Forced cuts are hashed from it when the segment is merged."""
    segment = Segment(100_000)
    segment.scan_buffer(KEY, AVERAGE, bytearray(b"\x01" * 100_000), 0, 100_000)
    gc.collect()
    table = ChunkTable(AVERAGE, 100_000)
    merger = Merger(KEY, table)
    merger.merge(segment)
    assert merger.forced > 0
    assert table.fold(KEY) == KEY.fingerprint(b"\x01" * 100_000)


def test_scanned_memory_is_released_by_the_next_scan(file: int) -> None:
    segment = Segment(1000)
    memory = bytearray(1000)
    segment.scan_buffer(KEY, AVERAGE, memory, 0, 1000)
    with pytest.raises(BufferError):
        memory.append(0)
    segment.scan_file(KEY, AVERAGE, file, 0, 1000)
    memory.append(0)


def test_an_empty_file_has_no_chunks() -> None:
    table = ChunkTable(AVERAGE, 0)
    segment = Segment(1)
    segment.scan_buffer(KEY, AVERAGE, b"", 0, 0)
    assert Merger(KEY, table).merge(segment) == 0
    assert len(table) == 0


def test_forced_cuts_are_counted() -> None:
    data = bytes(AVERAGE * 15)
    segment = Segment(len(data))
    segment.scan_buffer(KEY, AVERAGE, data, 0, len(data))
    assert segment.candidates == 0
    table = ChunkTable(AVERAGE, len(data))
    merger = Merger(KEY, table)
    merger.merge(segment)
    assert [length for length, _ in rows(table)] == [3072] * 10
    assert merger.forced == 9  # the last chunk is the rest
    assert merger.rehashed <= 9 * AVERAGE // 2


@pytest.mark.parametrize("capacity", [0, (1 << 30) + 1])
def test_bad_capacities(capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity"):
        Segment(capacity)


@pytest.mark.parametrize("average", [0, 1024, 2049, 3000, 2 << 20])
def test_bad_averages(file: int, average: int) -> None:
    segment = Segment(1000)
    with pytest.raises(ValueError, match="average"):
        segment.scan_file(KEY, average, file, 0, 1000)
    with pytest.raises(ValueError, match="average"):
        segment.scan_buffer(KEY, average, DATA, 0, 1000)


def test_bad_extents(file: int) -> None:
    segment = Segment(1000)
    with pytest.raises(ValueError, match="capacity"):
        segment.scan_file(KEY, AVERAGE, file, 0, 1001)
    with pytest.raises(ValueError, match="capacity"):
        segment.scan_buffer(KEY, AVERAGE, DATA, 0, 1001)
    for offset in (SIZE - 999, SIZE, SIZE + 1, 2**63 - 1, 2**64 - 1):
        with pytest.raises(ValueError, match="beyond"):
            segment.scan_buffer(KEY, AVERAGE, DATA, offset, 1000)
    with pytest.raises(ValueError, match="beyond"):
        segment.scan_file(KEY, AVERAGE, file, 2**63 - 1, 1000)


def test_a_file_that_ends_early(file: int) -> None:
    segment = Segment(1000)
    for offset in (SIZE - 999, SIZE, SIZE + 100_000):
        with pytest.raises(EOFError):
            segment.scan_file(KEY, AVERAGE, file, offset, 1000)


def test_a_file_that_cannot_be_read() -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        Segment(1000).scan_file(KEY, AVERAGE, -1, 0, 1000)
    assert caught.value.errno == errno.EBADF


def test_a_failed_scan_cannot_be_merged(file: int) -> None:
    merger = Merger(KEY, ChunkTable(AVERAGE, SIZE))
    segment = Segment(1000)
    with pytest.raises(ValueError, match="not scanned"):
        merger.merge(segment)
    segment.scan_file(KEY, AVERAGE, file, 0, 1000)
    with pytest.raises(EOFError):
        segment.scan_file(KEY, AVERAGE, file, SIZE, 1000)
    with pytest.raises(ValueError, match="not scanned"):
        merger.merge(segment)


def test_only_the_next_segment_is_merged() -> None:
    table = ChunkTable(AVERAGE, 3000)
    merger = Merger(KEY, table)
    segment = Segment(3000)
    for offset, length in ((1000, 1000), (2000, 1000)):
        segment.scan_buffer(KEY, AVERAGE, DATA, offset, length)
        with pytest.raises(ValueError, match="not the next"):
            merger.merge(segment)
    segment.scan_buffer(KEY, AVERAGE, DATA, 0, 1000)
    merger.merge(segment)
    with pytest.raises(ValueError, match="not the next"):
        merger.merge(segment)
    segment.scan_buffer(KEY, AVERAGE, DATA, 1000, 2001)
    with pytest.raises(ValueError, match="not the next"):
        merger.merge(segment)
    segment.scan_buffer(KEY, AVERAGE, DATA, 1000, 2000)
    merger.merge(segment)
    assert rows(table) == native_chunks(DATA[:3000], AVERAGE)


def test_key_and_average_must_be_the_tables() -> None:
    merger = Merger(KEY, ChunkTable(AVERAGE, SIZE))
    segment = Segment(1000)
    for key, average in ((fingerprint_key(SECRET + b"2"), AVERAGE), (KEY, 2 * AVERAGE)):
        segment.scan_buffer(key, average, DATA, 0, 1000)
        with pytest.raises(ValueError, match="another key or average"):
            merger.merge(segment)


def test_a_merger_wants_an_empty_table() -> None:
    table = ChunkTable(AVERAGE, 1000)
    segment = Segment(1000)
    segment.scan_buffer(KEY, AVERAGE, DATA, 0, 1000)
    Merger(KEY, table).merge(segment)
    assert len(table) == 1
    with pytest.raises(ValueError, match="empty"):
        Merger(KEY, table)
