"""Chunks frozen for ever: whoever changes one breaks every peer and every cache of another version.

`pytest tests/golden --regenerate-golden` rewrites chunks.json; a change there belongs in the changelog.
"""

from __future__ import annotations

import json
from hashlib import shake_256
from pathlib import Path
from typing import Any

import pytest

from native_support import chunk_table, rows
from parasync.kernels import fingerprint_key

GOLDEN = Path(__file__).with_name("chunks.json")

Part = tuple[str, str, int]
"""("stream", seed, bytes of SHAKE-256 of it) or ("repeat", bytes in hexadecimal, how many of them)."""

SPECIFICATIONS: dict[str, tuple[int, list[Part]]] = {
    "empty": (8192, []),
    "one byte": (8192, [("repeat", "00", 1)]),
    "random, smallest average": (2048, [("stream", "a", 40_000)]),
    "random, default average": (8192, [("stream", "b", 300_000)]),
    "random, average of one block": (65_536, [("stream", "c", 2_000_000)]),
    "random, largest average": (1 << 20, [("stream", "d", 9_000_000)]),
    "zeros": (8192, [("repeat", "00", 100_000)]),
    "zeros amid random": (2048, [("stream", "e", 10_001), ("repeat", "00", 20_000), ("stream", "f", 9_999)]),
    "text": (2048, [("repeat", b"All happy families are alike. ".hex(), 500), ("stream", "g", 20_000)]),
    "long period": (2048, [("repeat", bytes(range(256)).hex(), 100)]),
    "again, moved by one byte": (2048, [("stream", "a", 20_000), ("repeat", "ff", 1), ("stream", "a", 20_000)]),
}


def content(parts: list[Part]) -> bytes:
    data = b""
    for kind, what, count in parts:
        data += shake_256(what.encode()).digest(count) if kind == "stream" else bytes.fromhex(what) * count
    return data


def vector(name: str) -> dict[str, Any]:
    average, parts = SPECIFICATIONS[name]
    table, _ = chunk_table(content(parts), average, [1_000_003], fingerprint_key(b"golden secret 16"))
    return {
        "average": average,
        "content": [list(part) for part in parts],
        "lengths": [length for length, _ in rows(table)],
        "fingerprints": [fingerprint.hex() for _, fingerprint in rows(table)],
        "digest": table.digest().hex(),
    }


@pytest.fixture(scope="module")
def golden(regenerate_golden: bool) -> dict[str, Any]:
    if regenerate_golden:
        GOLDEN.write_text(
            json.dumps({name: vector(name) for name in SPECIFICATIONS}, indent=1) + "\n", encoding="ascii"
        )
    frozen: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="ascii"))
    return frozen


def test_nothing_was_added_or_lost(golden: dict[str, Any]) -> None:
    assert list(golden) == list(SPECIFICATIONS)


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_frozen_chunks(kernel: str, name: str, golden: dict[str, Any]) -> None:
    assert vector(name) == golden[name]
