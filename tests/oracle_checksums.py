"""CRC32C, BLAKE3 and short fingerprints once more, slow and obvious, written from their definitions (RFC 3720, the
BLAKE3 paper, docs/protocol.md)."""

from __future__ import annotations

U32 = (1 << 32) - 1


def crc32c(data: bytes) -> int:
    """Bit by bit; 0x82F63B78 is the polynomial, reflected."""
    state = U32
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ U32


def shortened(fingerprint: bytes) -> bytes:
    """The short fingerprint of a full one."""
    a, b = (int.from_bytes(half, "little") for half in (fingerprint[:8], fingerprint[8:]))
    return (a ^ (b << 32 | b >> 32) & (1 << 64) - 1).to_bytes(8, "little")


INITIAL = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
QUARTERS = (
    *((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)),
    *((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)),
)


def rotate(word: int, bits: int) -> int:
    return (word >> bits | word << (32 - bits)) & U32


def compress(value: tuple[int, ...], block: bytes, counter: int, flags: int) -> tuple[int, ...]:
    m = [int.from_bytes(block.ljust(64, b"\0")[i : i + 4], "little") for i in range(0, 64, 4)]
    v = [*value, *INITIAL[:4], counter & U32, counter >> 32, len(block), flags]
    for _ in range(7):
        for number, (a, b, c, d) in enumerate(QUARTERS):
            for word, (first, second) in ((m[2 * number], (16, 12)), (m[2 * number + 1], (8, 7))):
                v[a] = (v[a] + v[b] + word) & U32
                v[d] = rotate(v[d] ^ v[a], first)
                v[c] = (v[c] + v[d]) & U32
                v[b] = rotate(v[b] ^ v[c], second)
        m = [m[i] for i in PERMUTATION]
    return tuple(v[i] ^ v[i + 8] for i in range(8))


def node(data: bytes, number: int, flags: int) -> tuple[int, ...]:
    """The value of a subtree over `data`, whose first 1024 bytes are leaf `number`; `flags` is ROOT or 0."""
    if len(data) <= 1024:
        value = INITIAL
        blocks = [data[i : i + 64] for i in range(0, len(data), 64)] or [b""]
        for i, block in enumerate(blocks):
            start = CHUNK_START if i == 0 else 0
            end = CHUNK_END | flags if i == len(blocks) - 1 else 0
            value = compress(value, block, number, start | end)
        return value
    left = 1024
    while 2 * left < len(data):
        left *= 2
    children = node(data[:left], number, 0) + node(data[left:], number + left // 1024, 0)
    return compress(INITIAL, b"".join(word.to_bytes(4, "little") for word in children), 0, PARENT | flags)


def blake3(data: bytes) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in node(data, 0, ROOT))
