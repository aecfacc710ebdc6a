"""Write native/src/scan_constants.hpp: the numbers that decide where every chunk ends.

They are drawn from a fixed public seed, so nobody chose them and anybody can check them. Changing one changes
every boundary of every file: peers and caches of another version would no longer find common chunks.

    python tools/generate_constants.py            # rewrite the header
    python tools/generate_constants.py --check    # fail if the header is not what would be written
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

SEED = b"parasync candidates 1"
HEADER = Path(__file__).resolve().parent.parent / "native" / "src" / "scan_constants.hpp"

Matrix = list[int]
"""Eight columns of an 8x8 matrix over GF(2): column j is the image of bit j, as a byte."""


class Draw:
    """An endless stream of bytes from the seed."""

    def __init__(self, seed: bytes) -> None:
        self._stream = hashlib.shake_256(seed).digest(4096)
        self._used = 0

    def take(self, count: int) -> bytes:
        self._used += count
        if self._used > len(self._stream):
            raise ValueError("the seed's stream is used up")
        return self._stream[self._used - count : self._used]


def apply(matrix: Matrix, byte: int) -> int:
    result = 0
    for bit, column in enumerate(matrix):
        if byte >> bit & 1:
            result ^= column
    return result


def invertible(matrix: Matrix) -> bool:
    return len({apply(matrix, byte) for byte in range(256)}) == 256


def draw_matrix(draw: Draw) -> Matrix:
    """The next eight bytes that are an invertible matrix (29 % of all are)."""
    while True:
        matrix = list(draw.take(8))
        if invertible(matrix):
            return matrix


def draw_nonzero(draw: Draw) -> int:
    """The next byte that is not zero."""
    while True:
        byte = draw.take(1)[0]
        if byte:
            return byte


def header() -> str:
    """The text of the header."""
    draw = Draw(SEED)
    matrices = [draw_matrix(draw) for _ in range(4)]
    target = draw_nonzero(draw)
    keys = [int.from_bytes(draw.take(8), "little") for _ in range(4)]
    multiplier = int.from_bytes(draw.take(8), "little") | 1

    rows = ",\n".join("    {" + ", ".join(f"0x{column:02x}" for column in matrix) + "}" for matrix in matrices)
    words = ",\n".join(f"    0x{key:016x}" for key in keys)
    return f"""\
// Written by tools/generate_constants.py from the seed "{SEED.decode()}"; do not edit.
#pragma once

#include <cstdint>

namespace parasync {{

// The filter's matrices over GF(2), one per doubling of its window: column j is the image of bit j.
inline constexpr std::uint8_t kFilterColumns[4][8] = {{
{rows},
}};

// A position survives the filter where its hash is this. Not zero, so runs of zeros have no survivors.
inline constexpr std::uint8_t kFilterTarget = 0x{target:02x};

// Of the hash that gives a survivor its level.
inline constexpr std::uint64_t kLevelKeys[4] = {{
{words},
}};
inline constexpr std::uint64_t kLevelMultiplier = 0x{multiplier:016x};

}}  // namespace parasync
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Write native/src/scan_constants.hpp.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the header differs")
    if not parser.parse_args().check:
        HEADER.write_text(header(), encoding="ascii")
        return 0
    if HEADER.read_text(encoding="ascii") == header():
        return 0
    print(f"{HEADER} is not what {Path(__file__).name} writes: run it without --check", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
