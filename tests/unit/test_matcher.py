from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_tables import AVERAGE, Row, copies, extents, fingerprint, table_of, wire

from parasync._native import ChunkIndex, ChunkMatcher, ChunkTable

LIMIT = 1 << 20


def chunk(content: int) -> Row:
    """Content number `content`; few lengths, so that some contents differ in nothing but the fingerprint."""
    return 1024 + content % 3 * 512, fingerprint(content)


def rows(contents: list[int]) -> list[Row]:
    return [chunk(content) for content in contents]


class Plan:
    """The rows of a file, and where each begins."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.starts = [0, *accumulate(length for length, _ in rows)]
        self.number_at = {start: number for number, start in enumerate(self.starts)}


def check_copies(batch: bytes, target: Plan, basis: Plan, limit: int) -> list[int]:
    """The target chunks that these copies cover; each copy must be whole chunks, equal on both sides."""
    covered: list[int] = []
    for target_offset, basis_offset, length in copies(batch):
        first, last = target.number_at[target_offset], target.number_at[target_offset + length]
        there = basis.number_at[basis_offset]
        assert target.rows[first:last] == basis.rows[there : there + last - first]
        assert length <= limit or last == first + 1
        covered += range(first, last)
    return covered


def check_wants(batch: bytes, target: Plan) -> list[int]:
    """The target chunks that these wants cover; no two wants are neighbours."""
    covered: list[int] = []
    previous_end = -1
    for offset, length in extents(batch):
        assert offset > previous_end
        previous_end = offset + length
        covered += range(target.number_at[offset], target.number_at[previous_end])
    return covered


def grown_together(
    matcher: ChunkMatcher,
    index: ChunkIndex,
    basis: ChunkTable,
    old: Plan,
    new: int,
    data: st.DataObject,
    grow: Callable[[int, int], bytes],
) -> Iterator[tuple[bytes, int, int]]:
    """Basis and target growing in any interleaving: (copies of a step, chunks indexed, chunks given to match)."""
    indexed = given_to_match = 0
    while indexed < len(old.rows) or given_to_match < new:
        if indexed == len(old.rows) or (given_to_match < new and data.draw(st.booleans())):
            count = data.draw(st.integers(1, new - given_to_match))
            batch = matcher.match(given_to_match, count)
            given_to_match += count
        else:
            count = data.draw(st.integers(1, len(old.rows) - indexed))
            basis.extend(wire(AVERAGE, old.rows[indexed : indexed + count]))
            index.insert(indexed, count)
            batch = grow(indexed, count)
            indexed += count
        yield batch, indexed, given_to_match


contents = st.lists(st.integers(0, 12), max_size=60)
"""Few different chunks: runs and duplicates on both sides."""


@settings(deadline=None)
@given(contents, contents, st.sampled_from([1, 2000, 5000, LIMIT]), st.data())
def test_copies_and_wants_partition_the_target(old: list[int], new: list[int], limit: int, data: st.DataObject) -> None:
    """Against a slow model, with basis and target growing in any interleaving."""
    old_plan, new_plan = Plan(rows(old)), Plan(rows(new))
    basis = ChunkTable(AVERAGE, old_plan.starts[-1])
    index = ChunkIndex(basis)
    matcher = ChunkMatcher(table_of(new_plan.rows), index, limit)
    covered: list[int] = []
    for batch, indexed, given_to_match in grown_together(
        matcher, index, basis, old_plan, len(new), data, lambda *_: matcher.rematch()
    ):
        now = check_copies(batch, new_plan, old_plan, limit)
        assert not set(now) & set(covered)
        covered += now
        missing = set(range(given_to_match)) - set(covered)
        assert not {new[i] for i in missing} & set(old[:indexed])
        assert matcher.missing == len(missing)
        assert matcher.matched_bytes == sum(new_plan.rows[i][0] for i in covered)
    wanted = check_wants(matcher.take_wants(), new_plan)
    assert sorted(covered + wanted) == list(range(len(new)))
    assert {new[i] for i in wanted} == set(new) - set(old)
    assert matcher.missing == 0
    assert matcher.take_wants() == b""


@settings(deadline=None)
@given(contents, contents, st.sampled_from([1, 2000, 5000, LIMIT]), st.data())
def test_new_chunks_of_the_basis_are_sought_among_the_misses(
    old: list[int], new: list[int], limit: int, data: st.DataObject
) -> None:
    """As above; of equal misses one may be left until the basis is complete, and only such."""
    old_plan, new_plan = Plan(rows(old)), Plan(rows(new))
    basis = ChunkTable(AVERAGE, old_plan.starts[-1])
    index = ChunkIndex(basis)
    matcher = ChunkMatcher(table_of(new_plan.rows), index, limit, growing=True)
    covered: list[int] = []
    for batch, indexed, given_to_match in grown_together(matcher, index, basis, old_plan, len(new), data, matcher.grow):
        now = check_copies(batch, new_plan, old_plan, limit)
        assert not set(now) & set(covered)
        covered += now
        missing = set(range(given_to_match)) - set(covered)
        assert matcher.missing == len(missing)
        found = {new[i] for i in covered}
        assert all(new[i] in found for i in missing if new[i] in old[:indexed]), "none of these was found"
    covered += check_copies(matcher.rematch(), new_plan, old_plan, limit)
    wanted = check_wants(matcher.take_wants(), new_plan)
    assert sorted(covered + wanted) == list(range(len(new)))
    assert {new[i] for i in wanted} == set(new) - set(old)
    assert matcher.grow(0, len(old)) == b""


def test_a_basis_behind_the_target_is_found_whole() -> None:
    """All of the target is known before the basis is; runs stay whole, and what moved is found, too."""
    old, new = list(range(3000)), [*range(2000, 3000), 10_001, *range(2000), 10_002]
    old_plan, new_plan = Plan(rows(old)), Plan(rows(new))
    basis, target = ChunkTable(AVERAGE, old_plan.starts[-1]), table_of(new_plan.rows)
    index = ChunkIndex(basis)
    matcher = ChunkMatcher(target, index, 1 << 30, growing=True)
    assert matcher.match(0, len(new)) == b""
    found: list[tuple[int, int, int]] = []
    for first in range(0, 3000, 600):
        basis.extend(wire(AVERAGE, old_plan.rows[first : first + 600]))
        index.insert(first, 600)
        found += copies(matcher.grow(first, 600))
    assert len(found) == 6, "one for each batch, and one more where the content changes its place"
    assert sum(length for _, _, length in found) == basis.size
    assert matcher.rematch() == b""
    assert check_wants(matcher.take_wants(), new_plan) == [1000, 3001]


def test_without_growing_nothing_is_sought_among_the_misses() -> None:
    basis = table_of(rows([1, 2, 3]))
    index = ChunkIndex(basis)
    matcher = ChunkMatcher(table_of(rows([1, 2, 3])), index, LIMIT)
    assert matcher.match(0, 3) == b""
    index.insert(0, 3)
    assert matcher.grow(0, 3) == b""
    assert copies(matcher.rematch()) == [(0, 0, basis.size)]


@pytest.mark.parametrize(("first", "count"), [(0, 4), (3, 1), ((1 << 64) - 1, 2)])
def test_refuses_to_grow_by_chunks_that_are_not_there(first: int, count: int) -> None:
    matcher = ChunkMatcher(table_of(rows([4])), ChunkIndex(table_of(rows([1, 2, 3]))), LIMIT, growing=True)
    matcher.match(0, 1)
    with pytest.raises(IndexError):
        matcher.grow(first, count)


@settings(deadline=None)
@given(contents)
def test_a_file_equal_to_its_basis_is_one_copy(new: list[int]) -> None:
    table = table_of(rows(new))
    index = ChunkIndex(table)
    index.insert(0, len(new))
    # From a fresh start the first chunk is found where it first occurs, which is at 0, and all others follow it.
    matcher = ChunkMatcher(table_of(rows(new)), index, LIMIT)
    assert copies(matcher.match(0, len(new))) == ([(0, 0, table.size)] if new else [])


def test_copies_end_at_the_limit() -> None:
    table = table_of([(1024, fingerprint(i)) for i in range(100)])
    index = ChunkIndex(table)
    index.insert(0, 100)
    matcher = ChunkMatcher(table, index, 10 * 1024 + 1023)
    assert copies(matcher.match(0, 100)) == [(i * 10240, i * 10240, 10240) for i in range(10)]


def test_a_chunk_longer_than_the_limit_stays_whole() -> None:
    table = table_of([(1024, fingerprint(1)), (2048, fingerprint(2)), (1024, fingerprint(3))])
    index = ChunkIndex(table)
    index.insert(0, 3)
    matcher = ChunkMatcher(table, index, 1500)
    assert copies(matcher.match(0, 3)) == [(0, 0, 1024), (1024, 1024, 2048), (3072, 3072, 1024)]


def test_a_run_goes_on_across_batches() -> None:
    """The first chunk occurs twice in the basis; the second batch must not fall back to the earlier one."""
    basis = table_of(rows([0, 0, 1, 0, 2]))
    index = ChunkIndex(basis)
    index.insert(0, 5)
    target = table_of(rows([1, 0, 2]))
    matcher = ChunkMatcher(target, index, LIMIT)
    (first,) = copies(matcher.match(0, 1))
    (second,) = copies(matcher.match(1, 2))
    assert first[1] == basis.chunk(2)[0]
    assert second == (target.chunk(1)[0], basis.chunk(3)[0], target.size - target.chunk(1)[0])


class TestZeroRuns:
    zero: Row = (3072, bytes(16))

    def match(self, basis_rows: list[Row], target_rows: list[Row]) -> list[tuple[int, int, int]]:
        basis, target = table_of(basis_rows), table_of(target_rows)
        index = ChunkIndex(basis)
        index.insert(0, len(basis))
        matcher = ChunkMatcher(target, index, LIMIT)
        batch = b"".join(matcher.match(i, min(500, len(target) - i)) for i in range(0, len(target), 500))
        covered = check_copies(batch, Plan(target_rows), Plan(basis_rows), LIMIT)
        assert sorted(covered) == list(range(len(target)))
        return copies(batch)

    def test_of_equal_length(self) -> None:
        file = [chunk(1), *[self.zero] * 3000, chunk(2)]
        most = -(-3002 * 3072 // (LIMIT - 3072)) + 7
        assert len(self.match(file, file)) <= most

    def test_longer_than_in_the_basis(self) -> None:
        """The run is copied over and over, not chunk by chunk."""
        basis = [chunk(1), *[self.zero] * 200, chunk(2)]
        target = [chunk(1), *[self.zero] * 3000, chunk(2)]
        assert len(self.match(basis, target)) <= 3000 // 200 + 9

    def test_shorter_than_in_the_basis(self) -> None:
        basis = [chunk(1), *[self.zero] * 3000, chunk(2)]
        target = [chunk(1), *[self.zero] * 200, chunk(2)]
        assert len(self.match(basis, target)) <= 3


class TestWithoutIndex:
    def test_everything_is_wanted_at_once(self) -> None:
        target = table_of(rows([1, 2, 3, 1]))
        matcher = ChunkMatcher(target, None, LIMIT)
        assert matcher.match(0, 3) == b""
        assert matcher.rematch() == b""
        assert matcher.missing == 3
        assert extents(matcher.take_wants()) == [(0, target.chunk(3)[0])]
        assert matcher.match(3, 1) == b""
        assert extents(matcher.take_wants()) == [target.chunk(3)[:2]]
        assert matcher.matched_bytes == 0


@pytest.mark.parametrize(("first", "count"), [(0, 4), (3, 1), (4, 0), ((1 << 64) - 1, 2), (1, (1 << 64) - 1)])
def test_refuses_chunks_that_are_not_there(first: int, count: int) -> None:
    matcher = ChunkMatcher(table_of(rows([1, 2, 3])), None, LIMIT)
    with pytest.raises(IndexError):
        matcher.match(first, count)
    assert matcher.missing == 0


def test_chunks_that_the_table_has_but_the_index_not_yet_may_follow() -> None:
    """A run is not broken only because the index lags behind its table."""
    contents = list(range(20))
    basis = table_of(rows(contents))
    index = ChunkIndex(basis)
    index.insert(0, 1)
    matcher = ChunkMatcher(table_of(rows(contents)), index, LIMIT)
    assert copies(matcher.match(0, 20)) == [(0, 0, basis.size)]


def test_long_stretches_of_hits_and_misses() -> None:
    """Far more of each than are looked up together."""
    source = random.Random(12)
    old = list(range(3000))
    new: list[int] = []
    while len(new) < 6000:
        begin, length = source.randrange(2900), source.choice([1, 2, 20, 700])
        kind = source.choice(["run", "scattered", "missing"])
        if kind == "run":
            new += old[begin : begin + length]
        elif kind == "scattered":
            new += source.choices(old, k=length)
        else:
            new += range(10_000 + len(new), 10_000 + len(new) + length)
    old_plan, new_plan = Plan(rows(old)), Plan(rows(new))
    index = ChunkIndex(table_of(old_plan.rows))
    index.insert(0, len(old))
    matcher = ChunkMatcher(table_of(new_plan.rows), index, LIMIT)
    covered = check_copies(matcher.match(0, len(new)), new_plan, old_plan, LIMIT)
    assert covered == [i for i, content in enumerate(new) if content < 3000]
    assert check_wants(matcher.take_wants(), new_plan) == [i for i, content in enumerate(new) if content >= 3000]
