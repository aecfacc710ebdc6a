"""The cuts of the paper's rule, CRC32C and BLAKE3 of the chunks, frozen for ever.

`pytest tests/golden --regenerate-golden` rewrites paper.json; a change there belongs in the changelog.
"""

from __future__ import annotations

import json
from hashlib import shake_256
from pathlib import Path
from typing import Any

import pytest

from native_support import chunk_table, rows
from parasync.kernels import blake3

GOLDEN = Path(__file__).with_name("paper.json")

CONTENT = {
    "random": shake_256(b"a").digest(400_000),
    "zeros amid random": shake_256(b"b").digest(50_001) + bytes(60_000) + shake_256(b"c").digest(39_999),
    "text": b"All happy families are alike. " * 5000,
}


def vector(name: str) -> list[list[Any]]:
    """[length, CRC32C, BLAKE3] of each chunk."""
    data = CONTENT[name]
    table, _ = chunk_table(data, 8192, [100_003], rule="paper", weak=True)
    found = []
    begin = 0
    for (length, _), weak in zip(rows(table), memoryview(table.weak(0, len(table))).cast("I"), strict=True):
        found.append([length, weak, blake3(data[begin : begin + length]).hex()])
        begin += length
    return found


@pytest.fixture(scope="module")
def golden(regenerate_golden: bool) -> dict[str, Any]:
    if regenerate_golden:
        GOLDEN.write_text(json.dumps({name: vector(name) for name in CONTENT}, indent=None) + "\n")
    loaded: dict[str, Any] = json.loads(GOLDEN.read_text())
    return loaded


@pytest.mark.parametrize("name", CONTENT)
def test_chunks_and_checksums_are_frozen(kernel: str, golden: dict[str, Any], name: str) -> None:
    assert vector(name) == golden[name]
