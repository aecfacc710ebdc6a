from __future__ import annotations

import array
import mmap
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_tables import AVERAGE, KEY, Row, fingerprint, rows_of, table_of, wire

from parasync._native import ChunkTable

AVERAGES = [2048, 8192, 32768, 65536, 1 << 20]
"""Both length encodings: the maximum chunk of 32768 still fits 16 bits, that of 65536 does not."""


@st.composite
def files(draw: st.DrawFn, average: int | None = None) -> tuple[int, list[Row]]:
    """(average, chunks) of a whole file."""
    average = average or draw(st.sampled_from(AVERAGES))
    least, most = average // 2, average * 3 // 2
    lengths = draw(st.lists(st.integers(least, most), max_size=40))
    if draw(st.booleans()):
        lengths.append(draw(st.integers(1, most)))
    return average, [(length, draw(st.binary(min_size=8, max_size=8)) + bytes(8)) for length in lengths]


def state(table: ChunkTable) -> tuple[int, int, bytes]:
    return len(table), table.end, table.digest()


class TestConstruction:
    @pytest.mark.parametrize("average", AVERAGES)
    def test_starts_empty(self, average: int) -> None:
        table = ChunkTable(average, 12345)
        assert (len(table), table.end, table.size, table.average) == (0, 0, 12345, average)
        assert table.encode(0, 0) == b""
        assert table.fold(KEY) == bytes(16)

    @pytest.mark.parametrize("average", [0, 1, 1024, 2047, 3000, 3 << 11, 2 << 20, (1 << 32) - 1])
    def test_refuses_a_bad_average(self, average: int) -> None:
        with pytest.raises(ValueError, match=f"{average} is not a power of two"):
            ChunkTable(average, 0)

    @pytest.mark.parametrize(("average", "size"), [(2048, 1 << 43), (1 << 20, 1 << 52), (1 << 20, (1 << 64) - 1)])
    def test_refuses_more_chunks_than_can_be_numbered(self, average: int, size: int) -> None:
        with pytest.raises(ValueError, match="choose larger chunks"):
            ChunkTable(average, size)

    def test_a_huge_size_takes_no_memory_until_chunks_arrive(self) -> None:
        def resident_pages() -> int:
            with open("/proc/self/statm", encoding="ascii") as statm:
                return int(statm.read().split()[1])

        before = resident_pages()
        tables = [ChunkTable(2048, 1 << 41) for _ in range(200)]
        for table in tables:
            table.extend(wire(2048, [(2048, bytes(16))]))
        assert (resident_pages() - before) * mmap.PAGESIZE < 200 * 32768


class TestExtendAndEncode:
    @settings(deadline=None)
    @given(files(), st.randoms(use_true_random=False))
    def test_round_trip_in_any_batches(self, file: tuple[int, list[Row]], rng: random.Random) -> None:
        average, rows = file
        table = ChunkTable(average, sum(length for length, _ in rows))
        done = 0
        while done < len(rows):
            batch = rows[done : done + rng.randint(1, 10)]
            assert table.extend(wire(average, batch)) == len(batch)
            done += len(batch)
        assert rows_of(table) == rows
        assert table.end == table.size
        offset = 0
        for number, (length, _) in enumerate(rows):
            assert table.chunk(number)[0] == offset
            offset += length
        first = rng.randint(0, len(rows))
        count = rng.randint(0, len(rows) - first)
        assert table.encode(first, count) == wire(average, rows[first : first + count])

    @pytest.mark.parametrize("number", [255, 256, 257, 767, 768, 1791, 1792, 65279, 65280, 69999])
    def test_rows_survive_across_pages(self, number: int) -> None:
        rows = [(1024 + i % 2048, i.to_bytes(8, "big") + bytes(8)) for i in range(70000)]
        table = table_of(rows)
        assert table.chunk(number) == (sum(r[0] for r in rows[:number]), *rows[number])
        assert table.encode(number - 2, 3) == wire(AVERAGE, rows[number - 2 : number + 1])

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: array.array("B", data)])
    def test_takes_any_contiguous_buffer(self, kind: type) -> None:
        rows = [(1024, fingerprint(1)), (100, fingerprint(2))]
        table = ChunkTable(AVERAGE, 1124)
        assert table.extend(kind(wire(AVERAGE, rows))) == 2
        assert rows_of(table) == rows

    def test_refuses_what_is_no_contiguous_buffer(self) -> None:
        table = ChunkTable(AVERAGE, 4096)
        with pytest.raises(BufferError):
            table.extend(memoryview(bytes(72))[::2])
        with pytest.raises(TypeError):
            table.extend("text")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("first", "count"), [(0, 3), (1, 2), (2, 1), (3, 0), ((1 << 64) - 1, 2), (1, (1 << 64) - 1)]
    )
    def test_encode_refuses_chunks_that_are_not_there(self, first: int, count: int) -> None:
        table = table_of([(1024, bytes(16)), (1024, bytes(16))])
        with pytest.raises(IndexError):
            table.encode(first, count)

    @pytest.mark.parametrize("number", [2, (1 << 64) - 1])
    def test_chunk_refuses_a_number_that_is_not_there(self, number: int) -> None:
        with pytest.raises(IndexError):
            table_of([(1024, bytes(16)), (1024, bytes(16))]).chunk(number)


def _bad_batches(average: int) -> dict[str, list[Row]]:
    """Batches for a table of 10 average chunks that has 2 of them."""
    least, most = average // 2, average * 3 // 2
    good = (average, fingerprint(1))
    return {
        "length 0": [good, (0, fingerprint(2))],
        "above the maximum": [good, (most + 1, fingerprint(2))],
        "largest number": [(0xFFFF if most <= 0xFFFF else 0xFFFFFFFF, fingerprint(2))],
        "short inside": [(least - 1, fingerprint(2)), good],
        "short at the batch's end": [good, (least - 1, fingerprint(2))],
        "beyond the size": [good] * 9,
        "beyond the size by one": [good] * 7 + [(average + 1, fingerprint(2))],
        "after the end": [*[good] * 8, (1, fingerprint(2))],
        "zero after the end": [*[good] * 8, (0, fingerprint(2))],
    }


class TestMalformedBatches:
    @pytest.mark.parametrize("average", AVERAGES)
    @pytest.mark.parametrize("name", _bad_batches(2048))
    def test_leaves_the_table_untouched(self, average: int, name: str) -> None:
        good = (average, fingerprint(1))
        table = ChunkTable(average, 10 * average)
        table.extend(wire(average, [good] * 2))
        before = state(table)
        with pytest.raises(ValueError, match="chunk"):
            table.extend(wire(average, _bad_batches(average)[name]))
        assert state(table) == before
        assert table.extend(wire(average, [good] * 8)) == 8
        assert table.digest() == table_of([good] * 10, average).digest()

    @pytest.mark.parametrize("average", AVERAGES)
    def test_bytes_that_are_not_whole_chunks(self, average: int) -> None:
        table = ChunkTable(average, 10 * average)
        data = wire(average, [(average, fingerprint(1))] * 3)
        before = state(table)
        for cut in {1, 2, 15, 16, 17, len(data) // 2, len(data) - 1}:
            with pytest.raises(ValueError, match="not whole chunks"):
                table.extend(data[:cut])
        assert state(table) == before

    def test_the_last_chunk_may_be_short_but_not_empty(self) -> None:
        table = ChunkTable(AVERAGE, 2049)
        with pytest.raises(ValueError, match="beyond"):
            table.extend(wire(AVERAGE, [(2048, bytes(16)), (2, bytes(16))]))
        assert table.extend(wire(AVERAGE, [(2048, bytes(16)), (1, bytes(16))])) == 2

    @settings(deadline=None)
    @given(st.sampled_from([2048, 1 << 20]), st.integers(0, 1 << 44), st.lists(st.binary(max_size=200), max_size=5))
    def test_random_bytes_never_break_a_table(self, average: int, size: int, batches: list[bytes]) -> None:
        size = min(size, (average // 2) << 31)
        table = ChunkTable(average, size)
        width = 2 if average == 2048 else 4
        for data in batches:
            before = state(table)
            count, rest = divmod(len(data), width + 16)
            lengths = [int.from_bytes(data[i * width : (i + 1) * width], "little") for i in range(count)]
            ends = [table.end + sum(lengths[: i + 1]) for i in range(count)]
            valid = not rest and all(
                1 <= length <= average * 3 // 2 and end <= size and (length >= average // 2 or end == size)
                for length, end in zip(lengths, ends, strict=True)
            )
            if valid:
                assert table.extend(data) == count
                assert table.end == (ends[-1] if ends else before[1])
            else:
                with pytest.raises(ValueError, match="chunk"):
                    table.extend(data)
                assert state(table) == before

    @settings(deadline=None)
    @given(files(AVERAGE), st.data())
    def test_a_batch_with_one_changed_length(self, file: tuple[int, list[Row]], data: st.DataObject) -> None:
        """Lengths close to valid ones reach the checks that random bytes miss."""
        _, rows = file
        if not rows:
            return
        place = data.draw(st.integers(0, len(rows) - 1))
        length = data.draw(st.sampled_from([0, 1, 1023, 1024, 3072, 3073, 65535]))
        changed = [*rows[:place], (length, rows[place][1]), *rows[place + 1 :]]
        size = sum(row[0] for row in rows)
        total = sum(row[0] for row in changed)
        last_is_short = changed[-1][0] < 1024
        short_inside = any(row[0] < 1024 for row in changed[:-1])
        valid = 1 <= length <= 3072 and total <= size and not short_inside and not (last_is_short and total != size)
        table = ChunkTable(AVERAGE, size)
        if valid:
            assert table.extend(wire(AVERAGE, changed)) == len(rows)
        else:
            with pytest.raises(ValueError, match="chunk"):
                table.extend(wire(AVERAGE, changed))
            assert len(table) == 0


class TestDerived:
    @settings(deadline=None)
    @given(files(AVERAGE), st.data())
    def test_digest_depends_on_everything(self, file: tuple[int, list[Row]], data: st.DataObject) -> None:
        _, rows = file
        table = table_of(rows)
        assert table.digest() == table_of(list(rows)).digest()
        assert len(table.digest()) == 32
        if not rows:
            return
        place = data.draw(st.integers(0, len(rows) - 1))
        flipped = bytearray(rows[place][1])
        flipped[data.draw(st.integers(0, 7))] ^= 1 << data.draw(st.integers(0, 7))
        other = table_of([*rows[:place], (rows[place][0], bytes(flipped)), *rows[place + 1 :]])
        assert other.digest() != table.digest()

    def test_digest_depends_on_lengths_and_order(self) -> None:
        a, b, c = (1024, fingerprint(1)), (1025, fingerprint(2)), (1026, fingerprint(3))
        swapped_lengths = [(1025, fingerprint(1)), (1024, fingerprint(2)), c]
        digests = {table_of(rows).digest() for rows in ([a, b, c], [b, a, c], [a, c, b], swapped_lengths, [a, b])}
        assert len(digests) == 5


def test_readers_see_whole_batches_while_the_writer_appends() -> None:
    rows = [(1024, i.to_bytes(8, "big") + bytes(8)) for i in range(40000)]
    whole = wire(AVERAGE, rows)
    fingerprints = whole[2 * len(rows) :]
    table = ChunkTable(AVERAGE, 1024 * len(rows))
    wrong: list[str] = []

    def write() -> None:
        for first in range(0, len(rows), 100):
            table.extend(wire(AVERAGE, rows[first : first + 100]))

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while seen < len(rows):
        seen = len(table)
        if seen % 100:
            wrong.append(f"a part of a batch: {seen} chunks")
        first = max(0, seen - 500)
        if table.encode(first, seen - first)[2 * (seen - first) :] != fingerprints[8 * first : 8 * seen]:
            wrong.append(f"wrong fingerprints below {seen}")
        if not seen * 1024 <= table.end <= table.size:
            wrong.append(f"end is behind chunk {seen}")
    writer.join()
    assert not wrong
    assert table.end == table.size
