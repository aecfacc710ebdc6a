"""Inputs that are hard for a content-defined chunker: runs without cuts, and runs that look like a cut everywhere."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.chunking.ours import KEY, phases
from benchmarks.measure import interleaved
from benchmarks.results import WorstCase
from parasync.config import DEFAULT_AVERAGE, KIB, SEGMENT_BYTES
from parasync.kernels import Segment, select_kernel

PERIODS = (1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 31, 32, 33, 48, 64, 65, 96, 127, 128, 200, 255)
TRIALS, TRIED_BYTES, TRIAL_BYTES, REPEATS = 96, 1024, 128 * KIB, 5
BLOCKS = (256, 4 * KIB, 64 * KIB, 1024 * KIB)
RANDOM = "random bytes"


def repeated(pattern: bytes, size: int) -> bytes:
    """`pattern` over and over, `size` bytes of it."""
    return (pattern * (size // len(pattern) + 1))[:size]


def hardest(period: int, seed: int) -> bytes:
    """Of many random patterns of this length, the one that takes longest to scan.

    About one in 256 / `period` hits the filter at all: the shorter the pattern, the more are tried.
    """
    chance = random.Random(f"{seed} {period}")
    patterns = [chance.randbytes(period) for _ in range(max(TRIALS, TRIED_BYTES // period))]
    segment = Segment(TRIAL_BYTES)
    return max(patterns, key=lambda pattern: _scan_seconds(segment, repeated(pattern, TRIAL_BYTES)))


def _scan_seconds(segment: Segment, data: bytes) -> float:
    """Least CPU time of some scans: what disturbs only makes them longer."""
    took = []
    for _ in range(REPEATS):
        start = time.thread_time()
        segment.scan_buffer(KEY, DEFAULT_AVERAGE, data, 0, len(data))
        took.append(time.thread_time() - start)
    return min(took)


def alternating(block: int, size: int, noise: bytes) -> bytes:
    """Blocks of zeros and of `noise` in turns."""
    parts = (
        bytes(block) if number % 2 else noise[number * block : (number + 1) * block] for number in range(size // block)
    )
    return b"".join(parts)


def patterns(size: int, noise: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every hard input; `noise` are at least `size` random bytes."""
    yield "zeros", bytes(size)
    yield "0xff", b"\xff" * size
    for period in PERIODS:
        yield f"period {period}", repeated(hardest(period, seed), size)
    for block in BLOCKS:
        yield f"zeros and random, {block:,} B each", alternating(block, size, noise)


def _seconds(data: bytes) -> float:
    done = phases(data)
    return done.scan + done.merge


def worst_cases(kernel: str, noise: bytes, rounds: int, seed: int, lock: Path) -> list[WorstCase]:
    """Every hard input beside the random bytes of `noise`, in one thread."""
    select_kernel(kernel)
    inputs = {RANDOM: noise, **dict(patterns(len(noise), noise, seed))}
    segment = min(SEGMENT_BYTES, len(noise))
    records = {name: phases(data, segment).record_bytes / segment for name, data in inputs.items()}

    took = interleaved({name: partial(_seconds, data) for name, data in inputs.items()}, rounds, lock)
    rates = {name: len(inputs[name]) / median(values) / 1e9 for name, values in took.items()}
    return [
        WorstCase(
            kernel=kernel,
            pattern=name,
            gb_per_s=rate,
            relative=rate / rates[RANDOM],
            records=records[name],
        )
        for name, rate in rates.items()
    ]
