"""Random bytes that are the same in every run."""

from __future__ import annotations

import random

PIECE = 16 << 20


def random_bytes(seed: int, count: int) -> bytes:
    """In pieces: randbytes takes less than 256 MiB at once."""
    chance = random.Random(seed)
    return b"".join(chance.randbytes(min(PIECE, count - done)) for done in range(0, count, PIECE))
