"""Chunks are a pure function of content and average: neither segments nor the kernel show (ParaSync 3.1)."""

from __future__ import annotations

import random
from functools import cache
from hashlib import shake_256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from native_support import (
    KERNELS,
    KEY,
    SECRET,
    Chunks,
    chunk_table,
    chunks_between,
    expected_chunks,
    extents,
    guarded,
    native_chunks,
    pattern_with_survivor,
    per_kernel,
    repeated,
    rows,
)
from parasync.kernels import CONTEXT, ChunkTable, Merger, Segment, crc32c, select_kernel

AVERAGE = 2048
"""The smallest: most chunks for the bytes."""
MAXIMUM = AVERAGE * 3 // 2
AVERAGES = [2048 << i for i in range(10)]

RULES = ["default", "paper"]

DATA = random.Random(1).randbytes(1 << 18)


@cache
def expected(size: int, average: int = AVERAGE) -> Chunks:
    """The chunks of the first `size` bytes of DATA, over and over."""
    return expected_chunks((DATA * (size // len(DATA) + 1))[:size], average)


def test_the_oracle_follows_the_recursion() -> None:
    hits = [i for i in range(3000) if oracle.window_hash(DATA, i) == oracle.CONSTANTS.target]
    assert hits == oracle.survivors(DATA[:3000])


def test_chunks_and_fingerprints_are_the_oracles(kernel: str) -> None:
    moduli = oracle.polynomials(shake_256(b"parasync fingerprint 1" + SECRET).digest(8 * 2048))
    data = DATA[:30_000]
    assert native_chunks(data, AVERAGE, 9_999) == oracle.chunks(data, AVERAGE, moduli)


def test_every_small_size(kernel: str) -> None:
    found = oracle.candidates(DATA[: 2 * MAXIMUM + 1], AVERAGE)
    for size in range(2 * MAXIMUM + 2):
        data = DATA[:size]
        ends = oracle.cuts([c for c in found if c.position <= size], size, AVERAGE)
        want = chunks_between(data, ends)
        assert native_chunks(data, AVERAGE) == want, size
        assert native_chunks(data, AVERAGE, 1 + size // 2) == want, size


@pytest.mark.parametrize("segment", [1, 2, 7, 15, 16, 17, 31, 32, 33, 61, 63, 64, 65, 127, 251, 319, 320, 321, 509])
def test_tiny_segments(kernel: str, segment: int) -> None:
    size = 3 * MAXIMUM + 5
    assert native_chunks(DATA[:size], AVERAGE, segment) == expected(size)


def test_segments_around_the_context(kernel: str) -> None:
    size = 20_000
    for first in range(CONTEXT - 2, CONTEXT + 3):
        for second in (1, CONTEXT - 1, CONTEXT, CONTEXT + 1):
            assert native_chunks(DATA[:size], AVERAGE, first, second, 7000) == expected(size), (first, second)


@pytest.mark.parametrize("segments", range(1, 65))
def test_any_number_of_segments(segments: int) -> None:
    size = 200_003

    def check() -> None:
        assert native_chunks(DATA[:size], AVERAGE, -(-size // segments)) == expected(size)

    per_kernel(check)


@pytest.mark.parametrize("length", [AVERAGE // 2, MAXIMUM])
def test_cuts_may_lie_at_both_ends_of_the_window(kernel: str, length: int) -> None:
    best = max(oracle.candidates(DATA[:100_000], AVERAGE), key=lambda c: c.level)
    for beyond in (-1, 0, 1):
        data = DATA[best.position - length - beyond : best.position + 2 * MAXIMUM]
        want = expected_chunks(data, AVERAGE)
        assert (want[0][0] == length) == (beyond == 0)
        for segment in (len(data), length, length - 1, length + 1):
            assert native_chunks(data, AVERAGE, segment) == want, (beyond, segment)


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_rest_of_the_maximum_is_the_last_chunk(kernel: str, beyond: int) -> None:
    """Also where the segment in which it lies, not knowing the file's end, would cut it."""
    begin = sum(length for length, _ in expected(60_000)[:9])
    size = begin + MAXIMUM + beyond
    assert (expected(size)[-1][0] == MAXIMUM) == (beyond == 0)
    for segment in (size, begin - 1, begin, begin + 1, begin // 2, size - 1, 9000):
        assert native_chunks(DATA[:size], AVERAGE, segment) == expected(size), segment


def test_segments_without_candidates_between_others(kernel: str) -> None:
    """Forced cuts run through whole segments and meet what the next worker with candidates has found."""
    data = DATA[:20_000] + bytes(40_001) + DATA[20_000:45_000] + b"\x01" * 30_007 + DATA[:20_000]
    want = expected_chunks(data, AVERAGE)
    for segment in (len(data), 30_000, 10_000, 8192, 7001, 4096):
        assert native_chunks(data, AVERAGE, segment) == want, segment


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("average", AVERAGES[:6])
def test_averages(kernel: str, average: int, rule: str) -> None:
    size = min(len(DATA), 24 * average) - 3
    want = expected_chunks(DATA[:size], average, rule)
    for segment in (size, 65_536, average - 1, 10_007):
        assert native_chunks(DATA[:size], average, segment, rule=rule) == want, segment


@pytest.mark.parametrize("average", AVERAGES[6:])
def test_averages_above_the_block(kernel: str, average: int) -> None:
    data = DATA * 16
    assert len(expected(len(data), average)) > 2
    for segment in (1 << 20, 65_537, 3_000_017):
        assert native_chunks(data, average, segment) == expected(len(data), average), segment


@pytest.mark.parametrize("average", [2048, 8192, 65_536])
def test_kernels_agree_on_more(average: int) -> None:
    data = random.Random(2).randbytes(3_000_001)
    seen = set()

    def check() -> None:
        for segment in (len(data), 1_000_003, 262_144):
            table, merger = chunk_table(data, average, [segment])
            assert table.fold(KEY) == KEY.fingerprint(data)
            seen.add((table.digest(), merger.forced))

    per_kernel(check)
    assert len(seen) == 1


@pytest.mark.parametrize("segment", [1, 2, 17, 61, 64, 251, 509, 1023, 3072, 10_007])
def test_segments_and_the_first_candidate(kernel: str, segment: int) -> None:
    """The other cut rule, with the same scan and merge: also where every third cut is forced."""
    size = 20 * MAXIMUM + 5 if segment > 60 else 3 * MAXIMUM
    assert native_chunks(DATA[:size], AVERAGE, segment, rule="paper") == expected_chunks(DATA[:size], AVERAGE, "paper")


def test_the_first_candidate_cuts_as_the_paper_says() -> None:
    """Forced cuts of 37 to 42 % are what it reports for its minimum, average and maximum."""
    data = random.Random(3).randbytes(1 << 23)
    table, merger = chunk_table(data, 8192, [1 << 20], rule="paper")
    lengths = [length for length, _ in rows(table)]
    assert min(lengths[:-1]) >= 4096
    assert max(lengths) == 12_288
    assert 0.33 < merger.forced / len(lengths) < 0.45


@pytest.mark.parametrize("rule", RULES)
def test_weak_checksums_are_those_of_the_chunks(kernel: str, rule: str) -> None:
    """However they were combined, through segments, over forced cuts and in proposals."""
    data = DATA[:60_000] + bytes(40_001) + DATA[20_000:45_000] + b"\x01" * 30_007 + DATA[:20_000]
    for segment in (len(data), 30_000, 4096, 509):
        table, _ = chunk_table(data, AVERAGE, [segment], rule=rule, weak=True)
        begin = 0
        for (length, _), weak in zip(rows(table), memoryview(table.weak(0, len(table))).cast("I"), strict=True):
            assert weak == crc32c(data[begin : begin + length], 0)
            begin += length


def test_what_a_segment_was_scanned_for_is_checked() -> None:
    for rule, weak in (("paper", False), ("default", True)):
        segment = Segment(8192)
        segment.scan_buffer(KEY, AVERAGE, DATA[:8192], 0, 8192, rule, weak)
        with pytest.raises(ValueError, match="another cut rule or other checksums"):
            Merger(KEY, ChunkTable(AVERAGE, 8192)).merge(segment)


@pytest.mark.parametrize("at_start", [True, False])
def test_no_byte_outside_the_file_is_read(kernel: str, at_start: bool) -> None:
    for size in (1, 15, 63, 64, 65, 383, 384, 385, 4096, 70_000):
        view = guarded(DATA[:size], at_start=at_start)
        for segment in (size, 64 + size // 100):
            assert native_chunks(view, AVERAGE, segment) == expected(size), (size, segment)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Pieces of random bytes, zeros, patterns, and of what was there before."""
    data = b""
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["random", "zeros", "pattern", "flood", "again"]))
        length = draw(st.integers(0, 6000))
        seed = draw(st.integers(0, 99))
        if kind == "random":
            data += random.Random(seed).randbytes(length)
        elif kind == "zeros":
            data += bytes(length)
        elif kind == "pattern":
            data += repeated(random.Random(seed).randbytes(1 + seed), length)
        elif kind == "flood":
            data += repeated(pattern_with_survivor(3 + seed), length)
        else:
            begin = draw(st.integers(0, len(data)))
            data += data[begin : begin + length]
    return data


@settings(max_examples=300, deadline=None)
@given(
    contents(),
    st.lists(st.integers(1, 9000), min_size=1, max_size=6),
    st.sampled_from(AVERAGES[:3]),
    st.sampled_from(RULES),
)
def test_any_content_in_any_segments(data: bytes, lengths: list[int], average: int, rule: str) -> None:
    want = expected_chunks(data, average, rule)

    def check() -> None:
        assert native_chunks(data, average, *lengths, rule=rule) == want

    per_kernel(check)


@settings(max_examples=100, deadline=None)
@given(contents(), st.integers(100, 9000), st.lists(st.sampled_from(KERNELS), min_size=1, max_size=8))
def test_the_kernel_may_change_between_segments(data: bytes, length: int, names: list[str]) -> None:
    table = ChunkTable(AVERAGE, len(data))
    merger = Merger(KEY, table)
    segment = Segment(length)
    for number, (offset, size) in enumerate(extents(len(data), [length])):
        select_kernel(names[number % len(names)])
        segment.scan_buffer(KEY, AVERAGE, data, offset, size)
        select_kernel(names[(number + 1) % len(names)])
        merger.merge(segment)
    select_kernel(KERNELS[-1])
    assert rows(table) == expected_chunks(data, AVERAGE)
