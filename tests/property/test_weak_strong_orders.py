"""Weak + strong matching in any order of events: the right commands, and no more work than there must be."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parasync.config import CHUNKINGS, SLICE_CHUNKS, TOKENS_IN_FLIGHT
from parasync.kernels import ChunkTable, crc32c
from weak_strong_support import Exchange, colliding

AVERAGE = 2048
SEGMENTS = [1500, 5000, 100_000]


def pieces_of(data: bytes, table: ChunkTable) -> list[bytes]:
    return [data[offset : offset + length] for offset, length, _ in map(table.chunk, range(len(table)))]


def check(exchange: Exchange) -> None:
    """The result, and every count, against sets of chunks."""
    assert exchange.rebuilt() == exchange.target
    basis = pieces_of(exchange.basis, exchange.basis_table)
    target = pieces_of(exchange.target, exchange.target_table)
    basis_weak = [crc32c(piece, 0) for piece in basis]
    target_weak = [crc32c(piece, 0) for piece in target]
    here, there, known = set(basis), set(basis_weak), set(target_weak)
    # Each distinct weak checksum once, in the order of the chunks.
    assert exchange.sent == list(dict.fromkeys(target_weak))
    # Tentative matches alone are hashed, each once, and all of them: neither order nor threads show.
    assert sorted(exchange.hashed_here) == [i for i, weak in enumerate(basis_weak) if weak in known]
    tentative = [piece for piece, weak in zip(target, target_weak, strict=True) if weak in there]
    assert len(exchange.hashed_there) == len(set(exchange.hashed_there)) == len(tentative)
    assert exchange.sender.hashed_bytes == sum(map(len, tentative))
    assert exchange.receiver.hashed_bytes == sum(len(basis[i]) for i in exchange.hashed_here)
    # What the basis has is copied, all else is a literal.
    missing = [piece for piece in target if piece not in here]
    assert sum(length for _, length in exchange.literals) == sum(map(len, missing))


@st.composite
def contents(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Basis and target out of few pieces, so that both share chunks, once or many times; some collide."""
    rng = random.Random(draw(st.integers(0, 1000)))
    kit = [rng.randbytes(rng.choice((3000, 9000, 20_000))) for _ in range(draw(st.integers(1, 4)))]
    kit += [bytes(20_000), bytes(7)]
    kit += [colliding(kit[0], rng.randrange(len(kit[0]) - 5)) for _ in range(draw(st.integers(0, 3)))]
    sides = [b"".join(rng.choice(kit) for _ in range(draw(st.integers(0, 8)))) for _ in range(2)]
    return sides[0], sides[1]


@settings(max_examples=150, deadline=None)
@given(contents(), st.integers(0, 1 << 32), st.sampled_from(SEGMENTS), st.sampled_from(CHUNKINGS))
def test_any_order_of_events(sides: tuple[bytes, bytes], seed: int, segment_bytes: int, rule: str) -> None:
    exchange = Exchange(*sides, AVERAGE, segment_bytes, rule)
    try:
        exchange.run(random.Random(seed))
        check(exchange)
    finally:
        exchange.close()


@pytest.mark.parametrize("seed", range(4))
def test_many_chunks_of_one_checksum_and_different_content(seed: int) -> None:
    """All chunks of a period of the average are equal in length; each is made to collide with all others."""
    rng = random.Random(seed)
    block = rng.randbytes(8192)
    blocks = [block]
    while len(blocks) < 30:
        blocks.append(colliding(blocks[-1], rng.randrange(4000, 6000)))
    assert len({crc32c(one, 0) for one in blocks}) == 1
    basis = b"".join(rng.choices(blocks, k=60))
    target = b"".join(rng.choices(blocks, k=80))
    exchange = Exchange(basis, target, 8192, 50_000)
    try:
        exchange.run(rng)
        check(exchange)
        assert len(exchange.sent) < len(exchange.target_table)
    finally:
        exchange.close()


def test_a_checksum_that_120000_chunks_share_is_work_for_many_slices() -> None:
    """Zeros are cut at the maximum: all chunks are equal. No slice is larger than another, whatever they share."""
    count = 120_000
    size = count * AVERAGE * 3 // 2
    zeros = bytes(size)
    exchange = Exchange(zeros, zeros, AVERAGE, 8 << 20)
    try:
        exchange.run(random.Random(1))
        assert len(exchange.sent) == 1
        assert sorted(exchange.hashed_here) == list(range(count))
        assert max(exchange.slices) == SLICE_CHUNKS
        assert len(exchange.slices) < 2 * count / SLICE_CHUNKS
        # One token a slice, not one a chunk; and the first confirms every chunk that is there.
        assert len(exchange.tokens) == len(exchange.slices)
        assert exchange.sender.hashed_bytes == size
        assert exchange.literals == []
        assert sum(length for _, _, length in exchange.copies) == size
    finally:
        exchange.close()


def test_no_more_tokens_are_computed_than_may_be_in_flight() -> None:
    data = random.Random(1).randbytes(50_000_000)
    exchange = Exchange(data, data, AVERAGE, 8 << 20)
    rng = random.Random(2)
    try:
        while exchange.grow_basis(rng) or exchange.grow_target(rng) or exchange.deliver_weak(rng):
            pass
        while exchange.take(rng) or exchange.hash_slice(rng):
            pass
        assert len(exchange.tokens) == TOKENS_IN_FLIGHT < len(exchange.basis_table)
        exchange.run(rng)
        check(exchange)
    finally:
        exchange.close()
