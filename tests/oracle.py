"""Phase I once more, slow and obvious: what the native core must compute, written from the definitions.

Nothing here shares code or cleverness with the core; only the constants are read from its header, because they are
part of the definition (native/include/parasync/scan.hpp, fingerprint.hpp, chunking.hpp).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from operator import xor
from pathlib import Path
from typing import NamedTuple

HEADER = Path(__file__).resolve().parent.parent / "native" / "src" / "scan_constants.hpp"

U64 = (1 << 64) - 1


class Constants(NamedTuple):
    matrices: list[list[int]]
    target: int
    keys: list[int]
    multiplier: int


def read_constants() -> Constants:
    """The numbers of the header, in their order: 4 x 8 columns, the target, 4 keys, the multiplier."""
    code = "\n".join(line for line in HEADER.read_text().splitlines() if not line.lstrip().startswith("//"))
    numbers = [int(text, 16) for text in re.findall(r"0x[0-9a-f]+", code)]
    columns, (target, *words) = numbers[:32], numbers[32:]
    return Constants([columns[8 * k : 8 * k + 8] for k in range(4)], target, words[:4], words[4])


CONSTANTS = read_constants()


class Candidate(NamedTuple):
    position: int
    level: int


class Chunk(NamedTuple):
    length: int
    fingerprint: bytes


# Candidates


def matrix_table(matrix: int) -> bytes:
    """The image of every byte under one of the filter's matrices."""
    columns = CONSTANTS.matrices[matrix]
    return bytes(reduce(xor, (columns[bit] for bit in range(8) if byte >> bit & 1), 0) for byte in range(256))


TABLES = [matrix_table(k) for k in range(4)]


def window_hash(data: bytes, position: int, doublings: int = 4) -> int:
    """h of the last 2^doublings bytes, by the recursion; bytes before the file are zero."""
    if doublings == 0:
        return data[position] if position >= 0 else 0
    half = 1 << (doublings - 1)
    earlier = window_hash(data, position - half, doublings - 1)
    return window_hash(data, position, doublings - 1) ^ TABLES[doublings - 1][earlier]


def exclusive_or(x: bytes, y: bytes) -> bytes:
    return (int.from_bytes(x, "little") ^ int.from_bytes(y, "little")).to_bytes(len(x), "little")


def survivors(data: bytes) -> list[int]:
    """Where the filter's hash of the last 16 bytes is the target; the recursion for all positions at once."""
    layer = data
    for doubling in range(4):
        half = 1 << doubling
        earlier = (bytes(half) + layer)[: len(layer)]
        layer = exclusive_or(layer, earlier.translate(TABLES[doubling]))
    return [match.start() for match in re.finditer(re.escape(bytes([CONSTANTS.target])), layer)]


def fold(x: int, y: int) -> int:
    product = x * y
    return (product >> 64) ^ (product & U64)


def level(data: bytes, position: int) -> int:
    first = max(0, position - 31)
    last = data[first : position + 1].rjust(32, b"\0")
    w3, w2, w1, w0 = (int.from_bytes(last[i : i + 8], "little") for i in (0, 8, 16, 24))
    k0, k1, k2, k3 = CONSTANTS.keys
    value = (fold(w0 ^ k0, w1 ^ k1) + fold(w2 ^ k2, w3 ^ k3)) * CONSTANTS.multiplier & U64
    return 8 + 64 - value.bit_length()


def candidates(data: bytes, average: int) -> list[Candidate]:
    """All candidates of a file, as boundary positions with their levels."""
    threshold = average.bit_length() - 1 - 3
    raw = survivors(data)
    found = set(raw)
    counted = [i for i in raw if not any(j in found for j in range(i - 15, i))]
    verified = [Candidate(i, level(data, i)) for i in counted]
    verified = [c for c in verified if c.level >= threshold]
    kept = []
    for index, (position, own) in enumerate(verified):
        earlier = verified[max(0, index - 256) : index]
        if not any(position - 256 <= other.position and other.level >= own for other in earlier):
            kept.append(Candidate(position + 1, own))
    return kept


def cuts(found: Sequence[Candidate], size: int, average: int, rule: str = "default") -> list[int]:
    """Where the chunks end."""
    minimum, maximum = average // 2, average * 3 // 2
    ends = []
    start = 0
    while size - start > maximum:
        window = [c for c in found if start + minimum <= c.position <= start + maximum]
        if rule == "paper":
            best = next((c for c in window if 2**c.level >= average), None)
        else:
            best = max(window, key=lambda c: (c.level, -c.position), default=None)
        start = start + maximum if best is None else best.position
        ends.append(start)
    if start < size:
        ends.append(size)
    return ends


# Fingerprints: polynomials over GF(2) as integers, bit k the coefficient of x^k


def remainder(dividend: int, divisor: int) -> int:
    while (excess := dividend.bit_length() - divisor.bit_length()) >= 0:
        dividend ^= divisor << excess
    return dividend


def product(x: int, y: int) -> int:
    return reduce(xor, (x << bit for bit in range(y.bit_length()) if y >> bit & 1), 0)


def power_of_x(exponent: int, divisor: int) -> int:
    """x^exponent modulo `divisor`."""
    result = 1
    for bit in f"{exponent:b}":
        result = remainder(product(result, result) << int(bit), divisor)
    return result


def common_divisor(x: int, y: int) -> int:
    while y:
        x, y = y, remainder(x, y)
    return x


def irreducible(polynomial: int) -> bool:
    """Rabin's test, for degree 64."""
    if power_of_x(1 << 64, polynomial) != 2:
        return False
    return common_divisor(polynomial, power_of_x(1 << 32, polynomial) ^ 2) == 1


def polynomials(words: bytes) -> tuple[int, int]:
    """The key's: the first two distinct irreducible x^64 + w, bit 0 of each word forced to 1."""
    found: list[int] = []
    for i in range(0, len(words), 8):
        polynomial = 1 << 64 | int.from_bytes(words[i : i + 8], "little") | 1
        if polynomial not in found and irreducible(polynomial):
            found.append(polynomial)
            if len(found) == 2:
                return found[0], found[1]
    raise ValueError("too few irreducible polynomials")


def reversed_bits(value: int, count: int) -> int:
    return int(f"{value:0{count}b}"[::-1], 2)


def fingerprint(moduli: tuple[int, int], data: bytes) -> bytes:
    """The bytes, first byte and in each byte lowest bit first, as a polynomial modulo both; residues reflected."""
    message = reversed_bits(int.from_bytes(data, "little"), 8 * len(data)) if data else 0
    return b"".join(reversed_bits(remainder(message, p), 64).to_bytes(8, "little") for p in moduli)


def shifted(moduli: tuple[int, int], value: bytes, length: int) -> bytes:
    """Fingerprint of the data followed by `length` zero bytes."""
    residues = []
    for i, modulus in enumerate(moduli):
        residue = reversed_bits(int.from_bytes(value[8 * i : 8 * i + 8], "little"), 64)
        residues.append(remainder(product(residue, power_of_x(8 * length, modulus)), modulus))
    return b"".join(reversed_bits(residue, 64).to_bytes(8, "little") for residue in residues)


def chunks(data: bytes, average: int, moduli: tuple[int, int]) -> list[Chunk]:
    """Phase I as a whole."""
    ends = cuts(candidates(data, average), len(data), average)
    return [
        Chunk(end - begin, fingerprint(moduli, data[begin:end])) for begin, end in zip([0, *ends], ends, strict=False)
    ]
