"""The fingerprint against its definition, on every kernel."""

from __future__ import annotations

import random
import struct
from hashlib import shake_256

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from native_support import guarded, per_kernel
from parasync.errors import UsageError
from parasync.kernels import KEY_BYTES, FingerprintKey, fingerprint_key

WORDS = shake_256(b"words").digest(8 * 1024)
KEY = FingerprintKey(WORDS)
MODULI = oracle.polynomials(WORDS)
DATA = random.Random(7).randbytes(100_000)
EMPTY = bytes(16)


def test_every_short_length(kernel: str) -> None:
    for length in range(530):
        assert KEY.fingerprint(DATA[:length]) == oracle.fingerprint(MODULI, DATA[:length]), length


def test_longer_lengths(kernel: str) -> None:
    for length in (1000, 1024, 4095, 4096, 4097, 12288):
        assert KEY.fingerprint(DATA[:length]) == oracle.fingerprint(MODULI, DATA[:length]), length


def test_every_alignment(kernel: str) -> None:
    view = memoryview(DATA)
    for begin in range(65):
        for length in (1, 16, 63, 64, 200, 300):
            part = view[begin : begin + length]
            assert KEY.fingerprint(part) == oracle.fingerprint(MODULI, bytes(part)), (begin, length)


@pytest.mark.parametrize("at_start", [True, False])
def test_no_byte_outside_is_read(kernel: str, at_start: bool) -> None:
    for length in (*range(1, 260), 4095, 4096, 5000):
        assert KEY.fingerprint(guarded(DATA[:length], at_start=at_start)) == KEY.fingerprint(DATA[:length])


@given(st.binary(max_size=300), st.integers(0, 300), st.binary(max_size=300))
def test_definition_zeros_and_combination(left: bytes, zeros: int, right: bytes) -> None:
    whole = oracle.fingerprint(MODULI, left + bytes(zeros) + right)

    def check() -> None:
        assert KEY.fingerprint(left + bytes(zeros) + right) == whole
        assert KEY.fingerprint(bytes(zeros) + left) == KEY.fingerprint(left)
        moved = KEY.shift(KEY.fingerprint(left), zeros)
        assert moved == KEY.fingerprint(left + bytes(zeros))
        assert KEY.combine(moved, KEY.fingerprint(right), len(right)) == whole

    per_kernel(check)


@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**63 - 1))
def test_shift_by_any_number_of_bytes(value: bytes, length: int) -> None:
    expected = oracle.shifted(MODULI, value, length)

    def check() -> None:
        assert KEY.shift(value, length) == expected

    per_kernel(check)


def test_shift_by_each_single_bit_of_a_length(kernel: str) -> None:
    value = DATA[:16]
    for bit in range(64):
        assert KEY.shift(value, 1 << bit) == oracle.shifted(MODULI, value, 1 << bit), bit
    assert KEY.shift(value, 2**64 - 1) == oracle.shifted(MODULI, value, 2**64 - 1)


def test_nothing_has_fingerprint_zero(kernel: str) -> None:
    assert KEY.fingerprint(b"") == EMPTY
    assert KEY.combine(EMPTY, EMPTY, 0) == EMPTY
    assert KEY.fingerprint(bytes(10_000)) == EMPTY


@given(st.integers(1, 64), st.data())
def test_it_is_linear(length: int, data: st.DataObject) -> None:
    x = data.draw(st.binary(min_size=length, max_size=length))
    y = data.draw(st.binary(min_size=length, max_size=length))
    both = oracle.exclusive_or(KEY.fingerprint(x), KEY.fingerprint(y))
    assert KEY.fingerprint(oracle.exclusive_or(x, y)) == both


def test_one_byte_is_its_own_remainder() -> None:
    assert KEY.fingerprint(b"\x01") == struct.pack("<QQ", 1 << 56, 1 << 56)


def test_polynomials_are_the_first_two_distinct_irreducible_ones() -> None:
    first, second = MODULI
    assert first != second
    alone = struct.pack("<4Q", *(p & oracle.U64 for p in (first, first, second, second)))
    even = bytes(word & 0xFE if i % 8 == 0 else word for i, word in enumerate(alone))  # bit 0 is forced to 1
    for words in (alone, even, bytes(8) + alone + WORDS):
        assert FingerprintKey(words).fingerprint(DATA) == KEY.fingerprint(DATA)
    swapped = FingerprintKey(struct.pack("<2Q", second & oracle.U64, first & oracle.U64))
    assert swapped.fingerprint(DATA) == KEY.fingerprint(DATA)[8:] + KEY.fingerprint(DATA)[:8]


@pytest.mark.parametrize("words", [b"", bytes(8 * 100), struct.pack("<2Q", *[MODULI[0] & oracle.U64] * 2), WORDS[:-1]])
def test_too_few_polynomials(words: bytes) -> None:
    with pytest.raises(ValueError, match=r"irreducible|whole records"):
        FingerprintKey(words)


@pytest.mark.parametrize("value", [b"", bytes(15), bytes(17)])
def test_a_fingerprint_has_16_bytes(value: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        KEY.shift(value, 1)
    with pytest.raises(ValueError, match="16 bytes"):
        KEY.combine(EMPTY, value, 1)


def test_keys_are_derived_from_secrets() -> None:
    words = shake_256(b"parasync fingerprint 1" + b"k" * KEY_BYTES).digest(8 * 2048)
    expected = oracle.fingerprint(oracle.polynomials(words), DATA[:500])
    assert fingerprint_key(b"k" * KEY_BYTES).fingerprint(DATA[:500]) == expected
    assert fingerprint_key(b"l" * KEY_BYTES).fingerprint(DATA[:500]) != expected
    assert fingerprint_key(b"k" * (KEY_BYTES + 1)).fingerprint(DATA[:500]) != expected


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(UsageError, match="too short"):
        fingerprint_key(bytes(KEY_BYTES - 1))
