"""Candidates that cannot win leave no record, and none that can is lost (native/include/parasync/contest.hpp)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

import pytest

import oracle
from native_support import expected_chunks, native_chunks, one_segment
from worst_cases import SPACING, next_block, threshold

AVERAGE = 2048
LEAST = threshold(AVERAGE)
RECORD_BYTES = 4 + 1 + 16


@cache
def block_after_zeros(level: int, seed: int) -> bytes:
    return next_block(bytes(SPACING), level, random.Random(seed))


def with_candidates(gaps: Sequence[int], levels: Sequence[int]) -> bytes:
    """Zeros in which candidates of these levels lie so far apart, the first from the begin."""
    data = bytearray()
    for number, (gap, level) in enumerate(zip(gaps, levels, strict=True)):
        data += bytes(gap - SPACING) + block_after_zeros(level, number % 7)
    return bytes(data) + bytes(3 * AVERAGE)


def check(data: bytes, *lengths: int) -> None:
    assert native_chunks(data, AVERAGE, *lengths) == expected_chunks(data, AVERAGE)


@pytest.mark.parametrize("seed", range(300))
def test_windows_that_just_hold_a_better_one_or_just_do_not(seed: int) -> None:
    source = random.Random(seed)
    # A window holds average + 1 places; two gaps, or many, that add up to about that are where a mistake by one shows.
    parts = source.choice([1, 2, 2, 2, 3, 5])
    near = [AVERAGE // parts + off for off in range(-2, 4)]
    gaps = [source.choice([*near, 257, 258, source.randrange(32, AVERAGE)]) for _ in range(30)]
    levels = [LEAST + source.choice([0, 0, 1, 1, 2, 3]) for _ in gaps]
    data = with_candidates(gaps, levels)
    check(data)
    check(data, source.randrange(1_000, 5_000))
    check(data, source.randrange(10, 40), source.randrange(3_000, 9_000))


def test_a_candidate_between_better_ones_leaves_a_record_only_if_a_window_fits() -> None:
    def records(before: int, behind: int, levels: Sequence[int]) -> int:
        data = with_candidates([4 * AVERAGE, before, behind], levels)
        assert len(oracle.candidates(data, AVERAGE)) == 3
        return one_segment(data, AVERAGE).record_bytes // RECORD_BYTES

    lower_in_the_middle = [LEAST + 1, LEAST, LEAST + 1]
    fits = records(1_000, 1_050, lower_in_the_middle)
    assert records(1_000, 1_049, lower_in_the_middle) == fits - 1
    assert records(1_000, 1_049, [LEAST, LEAST, LEAST + 1]) == fits - 1, "the first of equals is better"
    assert records(1_000, 1_049, [LEAST + 1, LEAST, LEAST]) == fits, "the last of equals is not"


def test_two_of_three_leave_no_record() -> None:
    data = random.Random(5).randbytes(4 << 20)
    segment = one_segment(data, 8192)
    marks = len(data) // 65_536
    assert 0.25 < (segment.record_bytes / RECORD_BYTES - marks) / segment.candidates < 0.45
