"""The average chunk size that a file gets when nobody chooses one."""

from __future__ import annotations

import pytest

from parasync.config import DEFAULT_AVERAGE, KIB, MANY_CHUNKS, MAX_AVERAGE, MIB, check_average, default_average

GIB = 1024 * MIB


@pytest.mark.parametrize(
    ("size", "average"),
    [
        (0, DEFAULT_AVERAGE),
        (32 * GIB, DEFAULT_AVERAGE),
        (32 * GIB + 1, 2 * DEFAULT_AVERAGE),
        (64 * GIB, 16 * KIB),
        (64 * GIB + 1, 32 * KIB),
        (2048 * GIB, 512 * KIB),
        (2048 * GIB + 1, MAX_AVERAGE),
        (1 << 62, MAX_AVERAGE),
    ],
)
def test_the_average_doubles_with_the_size(size: int, average: int) -> None:
    assert default_average(size) == average
    # Finer chunks are for files that have few of them: memory is bounded as before.
    assert default_average(size, fine=True) == (average if size > 16 * GIB else average // 2)
    assert check_average(average) == average


@pytest.mark.parametrize("bits", range(63))
def test_the_count_of_chunks_is_bounded_until_the_largest_average(bits: int) -> None:
    for size in ((1 << bits) - 1, 1 << bits, 3 << bits):
        average = default_average(size)
        assert average == MAX_AVERAGE or size <= average * MANY_CHUNKS
        assert average == DEFAULT_AVERAGE or 2 * size > average * MANY_CHUNKS
