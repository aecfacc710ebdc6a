"""Content made to cost the scan as much as its definition allows (native/include/parasync/scan.hpp)."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import cache

import oracle

HIGHEST_LEVEL = 8 + 64
SPACING = 16
"""No two survivors that count are closer."""
COVER = 256
"""A candidate covers so many positions behind it, for its level and those below."""

BLOCK = 65_536
"""Segments are scanned in blocks of so many bytes."""

SOLVABLE_LEVEL = 65
"""Above it so few hashes are left to choose from that none of them may have its survivor in the right place."""


def most_verified(size: int) -> int:
    """Most positions of `size` bytes that the filter and the first thinning let through."""
    return -(-size // SPACING)


def most_candidates(size: int, average: int) -> int:
    """Most candidates in `size` bytes: runs of rising levels, with a gap before each run."""
    levels = HIGHEST_LEVEL - threshold(average) + 1
    run = SPACING * (levels - 1) + COVER + 1
    return levels * (size // run + 1)


def most_open(size: int, average: int) -> int:
    """Most candidates of a segment that leave a record, as docs/chunking.md derives it."""
    levels = HIGHEST_LEVEL - threshold(average) + 1
    winners = levels * (size // (average + SPACING * (levels - 1)) + 1) + size // (COVER + 1) + 1
    at_block_ends = (min(average, BLOCK) // (COVER + 1) + 1) * (size // BLOCK + 1)
    return winners + at_block_ends + levels


def most_marks(size: int, average: int) -> int:
    """Most records that are no candidates: two per average chunk, and one for every block of 64 KiB."""
    return 2 * size // average + size // BLOCK + 1


def threshold(average: int) -> int:
    """The lowest level of a candidate."""
    return average.bit_length() - 1 - 3


def word(data: bytes) -> int:
    return int.from_bytes(data, "little")


def next_block(previous: bytes, level: int, source: random.Random) -> bytes:
    """16 bytes to follow the 16 of `previous`: the only survivor in them is at their end, and of this very level.

    The level's hash is no secret and can be solved for its last two words: where one factor of a folded product is a
    power of two, folding is a rotation of the other.
    """
    k0, k1, k2, k3 = oracle.CONSTANTS.keys
    earlier = oracle.fold(word(previous[8:]) ^ k2, word(previous[:8]) ^ k3)
    inverse = pow(oracle.CONSTANTS.multiplier, -1, 1 << 64)
    top = 63 - (level - 8)
    for _ in range(100_000):
        value = 1 << top | source.getrandbits(top)
        factor = (value * inverse - earlier) & oracle.U64
        turn = source.randrange(64)
        turned = factor >> turn | factor << (64 - turn) & oracle.U64
        block = (k1 ^ 1 << turn).to_bytes(8, "little") + (k0 ^ turned).to_bytes(8, "little")
        if [i for i in oracle.survivors(previous + block) if i >= SPACING] == [2 * SPACING - 1]:
            return block
    raise ValueError(f"no block found for level {level}")


def blocks(levels: Iterable[int], seed: int = 0) -> bytes:
    """A survivor every 16 bytes, of these levels; to be preceded by zeros."""
    source = random.Random(seed)
    data = bytes(SPACING)
    for level in levels:
        data += next_block(data[-SPACING:], level, source)
    return data[SPACING:]


@cache
def rising_run(average: int) -> bytes:
    """The densest candidates that last: levels rise every 16 bytes, then the least gap lets the lowest count anew."""
    return blocks(range(threshold(average), SOLVABLE_LEVEL + 1)) + bytes(COVER + 1 - SPACING)


@cache
def rising_once(average: int) -> bytes:
    """The most candidates that leave records: each of the rising levels is the best one of some window."""
    return blocks(range(threshold(average), SOLVABLE_LEVEL + 1)) + bytes(average + 1 - SPACING)


@cache
def same_levels(average: int) -> bytes:
    """A survivor every 16 bytes, all of the lowest level: all are verified, and only the first is a candidate."""
    return blocks([threshold(average)] * 64)
