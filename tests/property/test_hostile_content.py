"""Content made to hurt: no candidates at all, or as many as can be. The chunks stay right, the memory stays bounded."""

from __future__ import annotations

import random
from functools import cache

import pytest

import oracle
from native_support import chunk_table, expected_chunks, one_segment, pattern_with_survivor, per_kernel, repeated, rows

AVERAGE = 2048
RECORD_BYTES = 4 + 1 + 16
BLOCK = 65_536

DATA = random.Random(1).randbytes(1 << 18)


@cache
def rising_levels() -> bytes:
    """Windows of 32 bytes, each with a survivor at its end whose level is above the one before."""
    source = random.Random(5)
    windows: list[bytes] = []
    level = 7
    while len(windows) < 6:
        block = source.randbytes(4096)
        for position in oracle.survivors(block):
            if position >= 31 and level < oracle.level(block, position) <= level + 2:
                windows.append(block[position - 31 : position + 1])
                level = oracle.level(block, position)
                break
    return b"".join(windows)


def check_chunks(data: bytes) -> None:
    want = expected_chunks(data, AVERAGE)

    def check() -> None:
        for segment in (len(data), 1000, 4099):
            table, merger = chunk_table(data, AVERAGE, [segment])
            assert rows(table) == want, segment
            assert merger.rehashed <= merger.forced * AVERAGE // 2

    per_kernel(check)


@pytest.mark.parametrize("byte", [0, 1, 0x41, 0xE6, 0xFF])
def test_one_byte_over_and_over(byte: int) -> None:
    check_chunks(bytes([byte]) * 30_001)


# With the constants of this project, periods 1 and 2 never hit the filter.
@pytest.mark.parametrize("period", [3, 4, 5, 7, 8, 13, 16, 17, 31, 32, 47, 64, 100, 128, 200, 255, 256, 257, 300])
def test_periods_that_hit_the_filter(period: int) -> None:
    check_chunks(DATA[:1000] + repeated(pattern_with_survivor(period), 15_000) + DATA[1000:4000])


def test_rising_levels() -> None:
    check_chunks((rising_levels() + DATA[:300]) * 40)
    check_chunks(rising_levels() * 80)


def test_zeros_between() -> None:
    check_chunks(DATA[:5000] + bytes(20_000) + DATA[5000:9000] + bytes(301) + DATA[9000:15_000] + bytes(9_000))


@pytest.mark.parametrize("block", [16, 64, 255, 256, 257, 1024, 3072])
def test_alternating_blocks(block: int) -> None:
    other = repeated(pattern_with_survivor(20, block), block)
    check_chunks((bytes(block) + other) * (20_000 // block // 2))


@pytest.mark.parametrize("period", [3, 5, 8, 15, 16, 17, 31, 64, 127, 200, 255, 256])
def test_a_period_keeps_few_candidates(kernel: str, period: int) -> None:
    """Behind its first period, each of its levels lies within 256 positions before, so none counts again."""
    segment = one_segment(repeated(pattern_with_survivor(period), 100_000), AVERAGE)
    assert segment.candidates <= 8


def test_records_are_bounded(kernel: str) -> None:
    spaced = rising_levels() + bytes(256)
    for data in (DATA, bytes(len(DATA)), repeated(spaced, len(DATA)), repeated(pattern_with_survivor(257), len(DATA))):
        segment = one_segment(data, AVERAGE)
        marks = 2 * len(data) // AVERAGE + len(data) // BLOCK + 1
        assert segment.candidates <= len(data) // 16 + 1
        assert segment.record_bytes <= RECORD_BYTES * (segment.candidates + marks)


def test_rising_levels_are_the_most_that_thinning_lets_through(kernel: str) -> None:
    spaced = rising_levels() + bytes(256)
    segment = one_segment(spaced * 100, AVERAGE)
    assert segment.candidates >= 6 * 100
