"""The bounds that docs/chunking.md states, on content that reaches them: invariability, records, work. No clock."""

from __future__ import annotations

import random

import pytest

import oracle
from native_support import (
    KEY,
    chunk_table,
    expected_chunks,
    native_chunks,
    one_segment,
    pattern_with_survivor,
    per_kernel,
    repeated,
    rows,
)
from parasync.config import SEGMENT_BYTES
from parasync.kernels import CONTEXT
from worst_cases import (
    SOLVABLE_LEVEL,
    SPACING,
    most_candidates,
    most_marks,
    most_open,
    most_verified,
    next_block,
    rising_once,
    rising_run,
    same_levels,
    threshold,
)

AVERAGE = 2048
MAXIMUM = AVERAGE * 3 // 2
RECORD_BYTES = 4 + 1 + 16

DATA = random.Random(11).randbytes(1 << 18)

WORST = {
    "random": DATA,
    "zeros": bytes(len(DATA)),
    "rising": repeated(rising_run(AVERAGE), len(DATA)),
    "rising once in a window": repeated(rising_once(AVERAGE), len(DATA)),
    "same level": repeated(same_levels(AVERAGE), len(DATA)),
    "period that hits": repeated(pattern_with_survivor(20), len(DATA)),
    "period beyond the thinning": repeated(pattern_with_survivor(257), len(DATA)),
}


def check_chunks(data: bytes, *cuttings: list[int]) -> None:
    """With every kernel, and with segments of any of these lengths, the chunks are the oracle's."""
    want = expected_chunks(data, AVERAGE)

    def check() -> None:
        for lengths in ([len(data)], [997], *cuttings):
            assert native_chunks(data, AVERAGE, *lengths) == want, lengths

    per_kernel(check)


@pytest.mark.parametrize("period", range(1, 257))
def test_periods(period: int) -> None:
    """Both with whatever pattern, and, where one exists, with a pattern that hits the filter again and again."""
    patterns = [random.Random(period).randbytes(period)]
    if period > 2:
        patterns.append(pattern_with_survivor(period))
    for pattern in patterns:
        check_chunks(DATA[:500] + repeated(pattern, 8_000) + DATA[500:3_000])


@pytest.mark.parametrize("period", range(3, 257))
def test_candidates_of_a_period_do_not_grow_with_its_length(period: int) -> None:
    """Behind its first period and a window of the level, each one of a level has an equal one before it."""
    pattern = pattern_with_survivor(period)
    first = period + 31
    found = oracle.candidates(repeated(pattern, first), AVERAGE)
    assert len(found) <= most_verified(first)
    assert one_segment(repeated(pattern, 50 * first), AVERAGE).candidates == len(found)


@pytest.mark.parametrize("seed", range(20))
def test_mixed_periods(seed: int) -> None:
    """Stretches as short as the windows, so that each reaches into the next."""
    source = random.Random(seed)
    data = b""
    while len(data) < 25_000:
        period = source.choice([source.randrange(3, 20), source.randrange(3, 257), source.randrange(257, 600)])
        pattern = pattern_with_survivor(period, source.randrange(4))
        length = source.choice([1, 15, 16, 31, 32, 255, 256, 257, 287, 288, 289, CONTEXT, 1000, source.randrange(4000)])
        data += repeated(pattern, length)
    check_chunks(data, [source.randrange(1, 5000) for _ in range(4)])


@pytest.mark.parametrize("name", ["rising", "same level", "period that hits"])
def test_candidates_at_the_ends_of_segments(name: str) -> None:
    data = WORST[name][:12_000] + DATA[:6_000]
    found = [c.position for c in oracle.candidates(data, AVERAGE)] + [len(data)]
    gaps = [end - begin for begin, end in zip([0, *found], found, strict=False)]
    check_chunks(data, gaps, [gaps[0] - 1, *gaps[1:]], [gaps[0] + 1, *gaps[1:]])


def test_survivors_at_the_ends_of_segments() -> None:
    """The thinnings of a segment must see every survivor before it, although none of them is its own."""
    data = repeated(same_levels(AVERAGE), 4_000)
    check_chunks(data, [SPACING], [SPACING - 1, SPACING + 1], [SPACING * 17], [1, SPACING])


def test_the_worst_cases_are_the_worst() -> None:
    """They reach what the definition allows, up to the few levels that could not be made."""
    size = len(DATA)
    levels = SOLVABLE_LEVEL - threshold(AVERAGE) + 1
    rising = oracle.candidates(WORST["rising"], AVERAGE)
    assert [c.level for c in rising[:levels]] == list(range(threshold(AVERAGE), SOLVABLE_LEVEL + 1))
    assert 0.95 * most_candidates(size, AVERAGE) < len(rising) <= most_candidates(size, AVERAGE)
    assert len(oracle.survivors(WORST["same level"])) == most_verified(size)
    assert len(oracle.candidates(WORST["same level"], AVERAGE)) == 1


@pytest.mark.parametrize("average", [2048, 8192, 1 << 20])
def test_records_are_bounded(kernel: str, average: int) -> None:
    made_for_it = [repeated(pattern(average), len(DATA)) for pattern in (rising_run, rising_once)]
    for number, data in enumerate([*WORST.values(), *made_for_it]):
        segment = one_segment(data, average)
        assert segment.candidates <= most_candidates(len(data), average), number
        records = min(segment.candidates, most_open(len(data), average)) + most_marks(len(data), average)
        assert segment.record_bytes <= RECORD_BYTES * records, number


def test_records_of_a_segment_in_flight() -> None:
    """Shares of its bytes at the default average, and at the least one."""

    def share(pattern: bytes, average: int = 8192) -> float:
        return one_segment(repeated(pattern, SEGMENT_BYTES), average).record_bytes / SEGMENT_BYTES

    assert 0.12 < share(rising_once(8192)) < 0.14
    assert 0.36 < share(rising_once(2048), 2048) < 0.43
    assert share(rising_run(8192)) < 0.03
    assert share(random.Random(12).randbytes(SEGMENT_BYTES)) < 0.01
    assert share(bytes(SEGMENT_BYTES)) < 0.01


@pytest.mark.parametrize("name", WORST)
@pytest.mark.parametrize("lengths", [[len(DATA)], [100_003], [5_000]])
def test_work_for_forced_cuts_is_bounded(name: str, lengths: list[int]) -> None:
    """Less than half an average chunk is hashed again for each, so less than a third of all bytes."""
    data = WORST[name]
    table, merger = chunk_table(data, AVERAGE, lengths)
    assert merger.forced <= len(data) // MAXIMUM
    assert merger.rehashed <= merger.forced * AVERAGE // 2
    assert 3 * merger.rehashed <= len(data)
    assert len(table) <= 2 * len(data) // AVERAGE + 1
    assert rows(table) == expected_chunks(data, AVERAGE)
    assert table.fold(KEY) == KEY.fingerprint(data)


def test_levels_up_to_the_top() -> None:
    """One window whose hash is solved for the level is, for the core too, better than all others."""
    source = random.Random(12)
    data = bytearray(DATA[:20_000])
    for position, level in [(3_000, 30), (6_016, 50), (9_056, SOLVABLE_LEVEL)]:
        data[position : position + SPACING] = next_block(bytes(data[position - SPACING : position]), level, source)
    found = {c.position: c.level for c in oracle.candidates(bytes(data), AVERAGE)}
    assert [found.get(end) for end in (3_016, 6_032, 9_072)] == [30, 50, SOLVABLE_LEVEL]
    check_chunks(bytes(data))
