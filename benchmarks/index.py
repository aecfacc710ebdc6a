"""`python -m benchmarks index`: look-ups in the index of Phase II, when it is large (ParaSync 3.2)."""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import click

from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe
from benchmarks.measure import alone, interleaved, lock_option, median
from benchmarks.noise import random_bytes
from benchmarks.report import finish
from benchmarks.results import FORMAT, Index, LookUps, now
from parasync.config import COPY_BYTES, DEFAULT_AVERAGE
from parasync.kernels import ChunkIndex, ChunkMatcher, ChunkTable
from parasync.wire.messages import SHORT_FINGERPRINT_BYTES

LENGTH = DEFAULT_AVERAGE.to_bytes(2, "little")
BATCH = 64 * 1024
"""Chunks per call of the table's `extend` and the matcher's `match`."""
SEED = 20260216
IN_ORDER, SCATTERED, MISSES = "hits in the basis' order", "scattered hits", "misses"
INDEX_ALONE = "{}, index alone"
NONE = (1 << 32) - 1


@click.command("index", short_help="Look-ups a second, bytes an entry.")
@click.option("--entries", type=click.IntRange(1000, 100_000_000), default=10_000_000, show_default=True)
@click.option(
    "--look-ups", type=click.IntRange(1000), default=1_000_000, show_default=True, help="Of each kind, a run."
)
@click.option("-n", "--rounds", default=5, show_default=True, help="Runs of each kind, interleaved; the median counts.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the results here, as JSON.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them here, as SVG.")
@lock_option
def command(*, entries: int, look_ups: int, rounds: int, out: Path | None, plot: Path | None, lock: Path) -> None:
    """Insert random fingerprints and look some up: hits in the basis' order, scattered hits, and misses.

    Takes about 80 bytes of memory per entry.
    """
    finish(measure(entries, min(look_ups, entries), rounds, lock), out, plot)


def measure(entries: int, count: int, rounds: int, lock: Path) -> Index:
    """Build the index and look up `count` chunks of each kind, `rounds` times."""
    machine, started = describe((), ()), now()
    fingerprints = random_bytes(SEED, entries * SHORT_FINGERPRINT_BYTES)
    basis = make_table(fingerprints)
    with alone(lock):
        start = time.perf_counter()
        index = ChunkIndex(basis)
        for first in range(0, entries, BATCH):
            index.insert(first, min(BATCH, entries - first))
        insert_seconds = time.perf_counter() - start
    begin = (entries - count) // 2
    scattered = random.Random(SEED).sample(range(entries), count)
    targets = {
        IN_ORDER: make_table(pick(fingerprints, range(begin, begin + count))),
        SCATTERED: make_table(pick(fingerprints, scattered)),
        MISSES: make_table(random_bytes(SEED + 1, count * SHORT_FINGERPRINT_BYTES)),
    }
    actions = {kind: partial(match_all, target, index, kind) for kind, target in targets.items()}
    for kind in (SCATTERED, MISSES):
        actions[INDEX_ALONE.format(kind)] = partial(find_all, targets[kind], index, kind)
    took = interleaved(actions, rounds, lock)
    return Index(
        format=FORMAT,
        started=started,
        machine=machine,
        entries=len(index),
        insert_seconds=insert_seconds,
        bytes_per_entry=index.nbytes / len(index),
        look_ups=[
            LookUps(kind=kind, count=count, seconds=seconds, per_second=count / median(seconds))
            for kind, seconds in took.items()
        ],
    )


def make_table(fingerprints: bytes) -> ChunkTable:
    """A file of chunks of equal length with these fingerprints."""
    count = len(fingerprints) // SHORT_FINGERPRINT_BYTES
    table = ChunkTable(DEFAULT_AVERAGE, count * DEFAULT_AVERAGE)
    for first in range(0, count, BATCH):
        part = fingerprints[first * SHORT_FINGERPRINT_BYTES : (first + BATCH) * SHORT_FINGERPRINT_BYTES]
        table.extend(LENGTH * (len(part) // SHORT_FINGERPRINT_BYTES) + part)
    return table


def pick(fingerprints: bytes, numbers: Iterable[int]) -> bytes:
    """The fingerprints of these numbers, in this order."""
    size = SHORT_FINGERPRINT_BYTES
    return b"".join(fingerprints[number * size : (number + 1) * size] for number in numbers)


def match_all(target: ChunkTable, index: ChunkIndex, kind: str) -> float:
    """Look up all chunks of `target`; seconds.

    Raises:
        BenchmarkError: not as many were found as there are.
    """
    matcher = ChunkMatcher(target, index, COPY_BYTES)
    start = time.perf_counter()
    for first in range(0, len(target), BATCH):
        matcher.match(first, min(BATCH, len(target) - first))
    took = time.perf_counter() - start
    expected = len(target) if kind == MISSES else 0
    if matcher.missing != expected:
        raise BenchmarkError(f"{kind}: {matcher.missing} of {len(target)} look-ups missed, not {expected}: a defect")
    return took


def find_all(target: ChunkTable, index: ChunkIndex, kind: str) -> float:
    """The same without a matcher."""
    start = time.perf_counter()
    found = [index.find(target, first, min(BATCH, len(target) - first)) for first in range(0, len(target), BATCH)]
    took = time.perf_counter() - start
    missing = sum(array("I", part).count(NONE) for part in found)
    if missing != (len(target) if kind == MISSES else 0):
        raise BenchmarkError(f"{kind}: {missing} of {len(target)} chunks are not in the index: a defect")
    return took
