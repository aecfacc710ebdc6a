"""Write tests/golden/chunks.json as a binary file that the native test reads without a parser or a hash.

    python native/tests/write_golden.py OUTPUT

All numbers are little-endian u64 unless said otherwise: the count of key words, the words; the count of vectors; for
each the length of its name, the name, the average, the size, the content, the count of chunks, their lengths (u32
each), their fingerprints (16 bytes each).
"""

from __future__ import annotations

import json
import struct
import sys
from hashlib import shake_256
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "chunks.json"

KEY_WORDS = 2048
KEY_STREAM = b"parasync fingerprint 1" + b"golden secret 16"
"""What the words of the frozen chunks' key are drawn from."""


def number(value: int) -> bytes:
    return struct.pack("<Q", value)


def content(parts: list[tuple[str, str, int]]) -> bytes:
    """The bytes that the parts stand for: streams of SHAKE-256 and repeated bytes in hexadecimal."""
    return b"".join(
        shake_256(what.encode()).digest(count) if kind == "stream" else bytes.fromhex(what) * count
        for kind, what, count in parts
    )


def encoded(name: str, vector: dict[str, Any]) -> bytes:
    data = content(vector["content"])
    lengths: list[int] = vector["lengths"]
    title = name.encode()
    return b"".join(
        [
            number(len(title)) + title + number(vector["average"]) + number(len(data)) + data + number(len(lengths)),
            struct.pack(f"<{len(lengths)}I", *lengths),
            *map(bytes.fromhex, vector["fingerprints"]),
        ]
    )


def main() -> None:
    vectors: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="ascii"))
    key = number(KEY_WORDS) + shake_256(KEY_STREAM).digest(8 * KEY_WORDS)
    body = b"".join(encoded(name, vector) for name, vector in vectors.items())
    Path(sys.argv[1]).write_bytes(key + number(len(vectors)) + body)


if __name__ == "__main__":
    main()
