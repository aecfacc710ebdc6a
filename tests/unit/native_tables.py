"""Chunk tables from plain rows, and batches of records as plain tuples, for the tests of the native core."""

from __future__ import annotations

import functools
import random
import struct

from oracle_checksums import shortened
from parasync._native import ChunkTable, FingerprintKey

Row = tuple[int, bytes]
"""(length, fingerprint) of a chunk."""

KEY = FingerprintKey(random.Random(20).randbytes(8 * 4096))
AVERAGE = 2048
"""The smallest: tests make many chunks of few bytes. Chunks are then 1024 to 3072 bytes."""


def wire(average: int, rows: list[Row]) -> bytes:
    """What `ChunkTable.encode` must give, written down a second time, of full or short fingerprints."""
    length = "H" if average * 3 // 2 <= 0xFFFF else "I"
    return struct.pack(f"<{len(rows)}{length}", *(r[0] for r in rows)) + b"".join(shortened(r[1]) for r in rows)


def table_of(rows: list[Row], average: int = AVERAGE) -> ChunkTable:
    """A complete table of these chunks."""
    table = ChunkTable(average, sum(length for length, _ in rows))
    table.extend(wire(average, rows))
    return table


def rows_of(table: ChunkTable) -> list[Row]:
    return [table.chunk(i)[1:] for i in range(len(table))]


@functools.cache
def fingerprint(word: int) -> bytes:
    """A fingerprint that stands for content number `word`, and is its own short one."""
    return random.Random(word).randbytes(8) + bytes(8)


def copies(batch: bytes) -> list[tuple[int, int, int]]:
    """(target offset, basis offset, length) each."""
    return list(struct.iter_unpack("<QQQ", batch))


def extents(batch: bytes) -> list[tuple[int, int]]:
    """(offset, length) each."""
    return list(struct.iter_unpack("<QQ", batch))


def pack(records: list[tuple[int, ...]]) -> bytes:
    return b"".join(struct.pack(f"<{len(record)}Q", *record) for record in records)
