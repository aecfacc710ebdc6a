from __future__ import annotations

import gc
import random
import threading
from array import array

import pytest
from native_tables import AVERAGE, copies, fingerprint, table_of, wire

from parasync._native import ChunkIndex, ChunkMatcher, ChunkTable

NONE = (1 << 32) - 1


def found(index: ChunkIndex, target: ChunkTable) -> int:
    """How many of the target's chunks the index has."""
    matcher = ChunkMatcher(target, index, 1 << 20)
    matcher.match(0, len(target))
    return len(target) - matcher.missing


def test_find_tells_which() -> None:
    basis = table_of([(1024 + i % 3, fingerprint(i % 500)) for i in range(1000)])
    index = ChunkIndex(basis)
    index.insert(0, 700)
    numbers = [*random.Random(1).sample(range(1000), 900)]
    sought = table_of([(1024 + i % 3, fingerprint(i % 500)) for i in numbers])
    got = array("I", index.find(sought, 100, 800)).tolist()
    known = {(i % 3, i % 500): i for i in reversed(range(700))}
    assert got == [known.get((i % 3, i % 500), NONE) for i in numbers[100:]]
    with pytest.raises(IndexError):
        index.find(sought, 100, 801)


def test_equal_chunks_count_once() -> None:
    rows = [(1024, fingerprint(i % 10)) for i in range(1000)]
    index = ChunkIndex(table_of(rows))
    index.insert(0, 500)
    index.insert(0, 500)
    index.insert(500, 500)
    assert len(index) == 10


def test_length_and_fingerprint_both_count() -> None:
    rows = [(1024, fingerprint(1)), (1025, fingerprint(1)), (1024, fingerprint(2))]
    index = ChunkIndex(table_of(rows))
    index.insert(0, 3)
    assert len(index) == 3
    assert found(index, table_of([(1026, fingerprint(1)), (1025, fingerprint(2))])) == 0


def test_half_a_fingerprint_is_no_match() -> None:
    """The index's hash is far narrower than a fingerprint: the comparison must be whole."""
    rows = [(1024, i.to_bytes(8, "little") + i.to_bytes(8, "little")) for i in range(200)]
    index = ChunkIndex(table_of(rows))
    index.insert(0, len(rows))
    for a, b in ((5, 6), (6, 5), (0, 5), (5, 0)):
        other = a.to_bytes(8, "little") + b.to_bytes(8, "little")
        assert found(index, table_of([(1024, other)])) == 0


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100, 5000, 60000])
def test_finds_all_and_stays_small_as_it_grows(count: int) -> None:
    """All chunks are minimal, so there are twice as many as the index expected."""
    basis = table_of([(1024, fingerprint(i)) for i in range(count)])
    target = table_of([(1024, fingerprint(i)) for i in range(count + 50)])
    index = ChunkIndex(basis)
    for first in range(0, count, 777):
        index.insert(first, min(777, count - first))
        assert len(index) == min(first + 777, count)
        assert index.nbytes <= 512 + 20 * max(len(index), count)
    assert index.nbytes <= 512 + 18 * count
    assert found(index, target) == count


def test_many_chunks_of_one_fingerprint() -> None:
    """Zero runs of different lengths share the fingerprint 0."""
    rows = [(1024 + i, bytes(16)) for i in range(2000)]
    index = ChunkIndex(table_of(rows))
    index.insert(0, len(rows))
    assert len(index) == 2000
    assert found(index, table_of(rows)) == 2000


@pytest.mark.parametrize(("first", "count"), [(0, 4), (3, 1), (4, 0), ((1 << 64) - 1, 2), (1, (1 << 64) - 1)])
def test_refuses_chunks_that_are_not_there(first: int, count: int) -> None:
    index = ChunkIndex(table_of([(1024, fingerprint(i)) for i in range(3)]))
    with pytest.raises(IndexError):
        index.insert(first, count)
    assert len(index) == 0


def test_an_index_for_an_empty_file() -> None:
    index = ChunkIndex(ChunkTable(AVERAGE, 0))
    index.insert(0, 0)
    assert len(index) == 0
    assert found(index, table_of([(1024, bytes(16))])) == 0


def test_the_index_keeps_its_table_and_the_matcher_both() -> None:
    rows = [(1024, fingerprint(i)) for i in range(3000)]
    index = ChunkIndex(table_of(rows))
    index.insert(0, 3000)
    matcher = ChunkMatcher(table_of(rows), index, 1 << 30)
    del index
    gc.collect()
    assert copies(matcher.match(0, 3000)) == [(0, 0, 3000 * 1024)]


def test_inserting_while_matching() -> None:
    rows = [(1024, fingerprint(i)) for i in range(30000)]
    basis = ChunkTable(AVERAGE, 1024 * len(rows))
    index = ChunkIndex(basis)
    # Backwards, so that no chunk follows the hit before it and each goes through the index.
    target = table_of(rows[::-1])

    def grow() -> None:
        for first in range(0, len(rows), 300):
            basis.extend(wire(AVERAGE, rows[first : first + 300]))
            index.insert(first, 300)

    writer = threading.Thread(target=grow)
    writer.start()
    matcher = ChunkMatcher(target, index, 1024)
    all_copies = copies(matcher.match(0, len(target)))
    while writer.is_alive():
        all_copies += copies(matcher.rematch())
    writer.join()
    all_copies += copies(matcher.rematch())
    end = 1024 * len(rows)
    assert matcher.missing == 0
    assert sorted(all_copies) == [(t, end - 1024 - t, 1024) for t in range(0, end, 1024)]


def test_many_are_missed_among_many() -> None:
    """Some of their buckets are full, so that the search goes on in the next one."""
    index = ChunkIndex(table_of([(1024, fingerprint(i)) for i in range(20_000)]))
    index.insert(0, 20_000)
    mixed = random.Random(8).sample(range(40_000), 20_000)
    target = table_of([(1024, fingerprint(i)) for i in mixed])
    assert found(index, target) == sum(i < 20_000 for i in mixed)
