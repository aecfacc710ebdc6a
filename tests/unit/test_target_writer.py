from __future__ import annotations

import errno
import os
import random
import resource
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_tables import AVERAGE, KEY, pack

from parasync._native import Segment, TargetWriter

BASIS = random.Random(4).randbytes(1_000_000)
"""Several blocks of the writer's scratch."""

Operation = tuple[int, int, int] | tuple[int, bytes]
"""A copy (target offset, basis offset, length) or a literal (target offset, bytes)."""


@contextmanager
def file_with(data: bytes = b"") -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.fileno()


@pytest.fixture(scope="module")
def basis() -> Iterator[int]:
    with file_with(BASIS) as fd:
        yield fd


def content(fd: int) -> bytes:
    return os.pread(fd, 1 << 30, 0)


@st.composite
def deltas(draw: st.DrawFn) -> tuple[bytes, list[Operation]]:
    """(target, operations that make it), in the target's order; some continue each other in both files."""
    operations: list[Operation] = []
    target = bytearray()
    basis_end = 0
    for kind in draw(st.lists(st.sampled_from(["copy", "next", "literal", "zeros"]), min_size=1, max_size=12)):
        length = draw(st.sampled_from([1, 100, 5000, 131_072, 300_000]) | st.integers(1, 10_000))
        offset = len(target)
        if kind in {"copy", "next"}:
            start = (
                basis_end
                if kind == "next" and basis_end + length <= len(BASIS)
                else draw(st.integers(0, len(BASIS) - length))
            )
            operations.append((offset, start, length))
            target += BASIS[start : start + length]
            basis_end = start + length
        else:
            data = bytes(length) if kind == "zeros" else draw(st.randoms(use_true_random=False)).randbytes(length)
            operations.append((offset, data))
            target += data
    return bytes(target), operations


def apply(writer: TargetWriter, basis: int, operations: list[Operation]) -> int:
    """One call for the copies among these operations and one for the literals; returns the bytes they report."""
    copies = [operation for operation in operations if len(operation) == 3]
    literals = [operation for operation in operations if len(operation) == 2]
    places = pack([(offset, len(data)) for offset, data in literals])
    return writer.copy(basis, pack(copies)) + writer.literal(places, b"".join(data for _, data in literals))


@settings(deadline=None, max_examples=60)
@given(deltas(), st.data())
def test_any_order_and_grouping_gives_the_file(
    basis: int, delta: tuple[bytes, list[Operation]], data: st.DataObject
) -> None:
    target, operations = delta
    if data.draw(st.booleans()):
        data.draw(st.randoms(use_true_random=False)).shuffle(operations)
    with file_with() as fd:
        os.ftruncate(fd, len(target))
        writer = TargetWriter(fd, len(target), KEY)
        reported = 0
        while operations:
            count = data.draw(st.integers(1, len(operations)))
            reported += apply(writer, basis, operations[:count])
            operations = operations[count:]
            assert writer.written == reported
        assert content(fd) == target
        assert reported == len(target)
        assert writer.fingerprint() == KEY.fingerprint(target)


def test_several_threads(basis: int) -> None:
    rng = random.Random(5)
    target = bytearray()
    operations: list[Operation] = []
    for _ in range(400):
        length = rng.randint(1, 20_000)
        if rng.random() < 0.5:
            start = rng.randint(0, len(BASIS) - length)
            operations.append((len(target), start, length))
            target += BASIS[start : start + length]
        else:
            operations.append((len(target), rng.randbytes(length)))
            target += operations[-1][1]
    rng.shuffle(operations)
    with file_with() as fd:
        writer = TargetWriter(fd, len(target), KEY)

        def work(share: list[Operation]) -> None:
            for i in range(0, len(share), 5):
                apply(writer, basis, share[i : i + 5])

        threads = [threading.Thread(target=work, args=(operations[i::4],)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert content(fd) == target
        assert (writer.written, writer.fingerprint()) == (len(target), KEY.fingerprint(target))


class TestTheSumTells:
    size = 30_000

    def sum_of(self, basis: int, operations: list[Operation]) -> tuple[int, bytes]:
        with file_with() as fd:
            writer = TargetWriter(fd, self.size, KEY)
            apply(writer, basis, operations)
            return writer.written, writer.fingerprint()

    def test_a_wrong_byte(self, basis: int) -> None:
        wrong = bytearray(BASIS[20_000:30_000])
        wrong[5] ^= 1
        good = self.sum_of(basis, [(0, 0, 20_000), (20_000, BASIS[20_000:30_000])])
        assert good == (self.size, KEY.fingerprint(BASIS[: self.size]))
        bad = self.sum_of(basis, [(0, 0, 20_000), (20_000, bytes(wrong))])
        assert bad[0] == good[0]
        assert bad[1] != good[1]

    @pytest.mark.parametrize(
        "operations",
        [
            pytest.param([(0, 0, 20_000), (10_000, 10_000, 10_000)], id="a piece twice and one missing"),
            pytest.param([(0, 0, 20_000), (0, 20_000, 10_000)], id="a piece at a wrong place"),
            pytest.param([(0, 10_000, 10_000), (10_000, 0, 10_000), (20_000, 20_000, 10_000)], id="two pieces swapped"),
            pytest.param([(0, 1, 30_000)], id="shifted by a byte"),
        ],
    )
    def test_wrong_pieces(self, basis: int, operations: list[Operation]) -> None:
        written, fingerprint = self.sum_of(basis, operations)
        assert written == self.size
        assert fingerprint != KEY.fingerprint(BASIS[: self.size])

    def test_the_right_pieces_and_one_again(self, basis: int) -> None:
        written, _ = self.sum_of(basis, [(0, 0, 30_000), (0, 0, 10)])
        assert written != self.size


HUGE = (1 << 64) - 1


class TestBounds:
    @pytest.mark.parametrize(
        "copy",
        [
            (0, 0, 0),
            (1000, 0, 1),
            (999, 0, 2),
            (0, 0, 1001),
            (1001, 0, 1),
            (HUGE, 0, 1),
            (1, 0, HUGE),
            (HUGE, 0, HUGE),
            (0, HUGE, 1),
            (0, 1 << 63, 1),
            (0, (1 << 63) - 1, 1),
            (0, (1 << 63) - 10, 100),
        ],
    )
    def test_refuses_copies_before_writing_any(self, basis: int, copy: tuple[int, int, int]) -> None:
        with file_with() as fd:
            writer = TargetWriter(fd, 1000, KEY)
            with pytest.raises(ValueError, match="reaches beyond"):
                writer.copy(basis, pack([(0, 0, 500), copy]))
            assert (content(fd), writer.written, writer.fingerprint()) == (b"", 0, bytes(16))

    @pytest.mark.parametrize(
        ("places", "length"),
        [
            ([(0, 10)], 9),
            ([(0, 10)], 11),
            ([(0, 10)], 0),
            ([], 1),
            ([(0, 10), (20, 10)], 19),
            ([(0, 10), (20, 10)], 21),
            ([(0, 0)], 0),
            ([(0, 10), (5, 0)], 10),
            ([(1000, 1)], 1),
            ([(995, 6)], 6),
            ([(HUGE, 1)], 1),
            ([(1, HUGE)], 10),
            ([(0, HUGE), (0, 2)], 1),
            ([(0, 10), (HUGE - 5, 10)], 20),
        ],
    )
    def test_refuses_literals_before_writing_any(self, places: list[tuple[int, int]], length: int) -> None:
        with file_with() as fd:
            writer = TargetWriter(fd, 1000, KEY)
            with pytest.raises(ValueError, match="extent"):
                writer.literal(pack(places), bytes(length))
            assert (content(fd), writer.written, writer.fingerprint()) == (b"", 0, bytes(16))

    def test_refuses_bytes_that_are_not_records(self, basis: int) -> None:
        with file_with() as fd:
            writer = TargetWriter(fd, 1000, KEY)
            with pytest.raises(ValueError, match="not whole records"):
                writer.copy(basis, bytes(25))
            with pytest.raises(ValueError, match="not whole records"):
                writer.literal(bytes(17), b"x")

    def test_refuses_a_size_that_no_file_has(self) -> None:
        with pytest.raises(ValueError, match="no file has"):
            TargetWriter(0, 1 << 63, KEY)

    @settings(deadline=None)
    @given(st.lists(st.tuples(*[st.integers(0, 2000) | st.integers(0, HUGE)] * 3), max_size=5))
    def test_random_copies_stay_within_the_target(self, basis: int, copies: list[tuple[int, int, int]]) -> None:
        with file_with() as fd:
            writer = TargetWriter(fd, 1000, KEY)
            try:
                written = writer.copy(basis, pack(copies))
            except (ValueError, EOFError):
                assert writer.written == 0
            else:
                assert writer.written == written == sum(copy[2] for copy in copies)
            assert os.fstat(fd).st_size <= 1000


class TestFailures:
    def test_the_basis_shrank(self) -> None:
        with file_with(BASIS[:1000]) as old, file_with() as fd:
            writer = TargetWriter(fd, 2000, KEY)
            for copy in ((0, 900, 101), (0, 1000, 1), (0, 50_000, 10)):
                with pytest.raises(EOFError, match="too early"):
                    writer.copy(old, pack([copy]))
            assert (writer.written, writer.fingerprint()) == (0, bytes(16))
            assert writer.copy(old, pack([(0, 900, 100)])) == 100

    def test_no_space(self, basis: int) -> None:
        full = os.open("/dev/full", os.O_WRONLY)
        try:
            writer = TargetWriter(full, 1000, KEY)
            for call in (lambda: writer.literal(pack([(0, 3)]), b"abc"), lambda: writer.copy(basis, pack([(0, 0, 9)]))):
                with pytest.raises(OSError, match="No space left") as caught:
                    call()
                assert caught.value.errno == errno.ENOSPC
            assert writer.written == 0
        finally:
            os.close(full)

    def test_a_partial_write_is_continued_until_it_fails(self) -> None:
        """Below the limit the system writes a part; the rest must not be forgotten."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        with file_with() as fd:
            writer = TargetWriter(fd, 10_000, KEY)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            try:
                with pytest.raises(OSError, match="File too large") as caught:
                    writer.literal(pack([(0, 10_000)]), BASIS[:10_000])
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert caught.value.errno == errno.EFBIG
            assert content(fd) == BASIS[:4096]
            assert writer.written == 0

    def test_a_file_that_cannot_be_written(self, basis: int) -> None:
        with open(os.devnull, "rb") as file:
            writer = TargetWriter(file.fileno(), 1000, KEY)
            with pytest.raises(OSError, match="Bad file descriptor") as caught:
                writer.copy(basis, pack([(0, 0, 9)]))
        assert caught.value.errno == errno.EBADF

    def test_a_basis_that_is_a_directory(self) -> None:
        directory = os.open("/", os.O_RDONLY)
        try:
            with file_with() as fd, pytest.raises(IsADirectoryError):
                TargetWriter(fd, 1000, KEY).copy(directory, pack([(0, 0, 9)]))
        finally:
            os.close(directory)


def test_zeros_become_holes(basis: int) -> None:
    size = 40 << 20
    with file_with() as fd, file_with(bytes(20 << 20)) as zeros:
        os.ftruncate(fd, size)
        writer = TargetWriter(fd, size, KEY)
        writer.copy(zeros, pack([(0, 0, 20 << 20)]))
        writer.literal(pack([(20 << 20, (20 << 20) - 4096)]), bytes((20 << 20) - 4096))
        writer.copy(basis, pack([(size - 4096, 0, 4096)]))
        assert content(fd) == bytes(size - 4096) + BASIS[:4096]
        assert writer.fingerprint() == KEY.fingerprint(content(fd))
        assert os.fstat(fd).st_blocks * 512 < 1 << 20


def test_nothing_to_do_is_no_error(basis: int) -> None:
    with file_with() as fd:
        writer = TargetWriter(fd, 0, KEY)
        assert writer.copy(basis, b"") == 0
        assert writer.literal(b"", b"") == 0
        assert (writer.written, writer.fingerprint()) == (0, KEY.fingerprint(b""))


def test_writable_buffers_are_taken_too() -> None:
    with file_with() as fd:
        writer = TargetWriter(fd, 10, KEY)
        data = bytearray(b"0123456789abc")
        assert writer.literal(bytearray(pack([(3, 7)])), memoryview(data)[2:9]) == 7
        assert content(fd) == b"\0\0\x002345678"


class TestASegmentInMemory:
    """What a scanned segment of the basis has is written from there."""

    START, LENGTH = 300_000, 400_000

    @pytest.fixture
    def segment(self, basis: int) -> Segment:
        segment = Segment(self.LENGTH)
        segment.scan_file(KEY, AVERAGE, basis, self.START, self.LENGTH, keep=True)
        return segment

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(delta=deltas())
    def test_the_target_is_the_same(self, basis: int, segment: Segment, delta: tuple[bytes, list[Operation]]) -> None:
        target, operations = delta
        copies = pack([operation for operation in operations if len(operation) == 3])
        literals = [operation for operation in operations if len(operation) == 2]
        with file_with() as fd:
            os.ftruncate(fd, len(target))
            writer = TargetWriter(fd, len(target), KEY)
            writer.copy(basis, copies, segment)
            writer.literal(pack([(at, len(data)) for at, data in literals]), b"".join(data for _, data in literals))
            assert content(fd) == target
            assert (writer.written, writer.fingerprint()) == (len(target), KEY.fingerprint(target))

    def test_nothing_of_it_is_read_again(self, segment: Segment) -> None:
        end = self.START + self.LENGTH
        with file_with() as fd, file_with() as emptied:
            writer = TargetWriter(fd, self.LENGTH, KEY)
            assert writer.copy(emptied, pack([(0, self.START, self.LENGTH)]), segment) == self.LENGTH
            assert content(fd) == BASIS[self.START : end]
            for outside in (self.START - 1, end - 9):
                with pytest.raises(EOFError):
                    writer.copy(emptied, pack([(0, outside, 10)]), segment)

    def test_copies_are_parted_at_its_ends(self, segment: Segment) -> None:
        end = self.START + self.LENGTH
        here = [(0, self.START - 5, 6), (7, self.START, 1), (8, end - 1, 100), (200, 0, 1_000_000)]
        elsewhere = [(300, self.START - 5, 5), (400, end, 3), (500, 0, 1)]
        mixed = [copy for pair in zip(here, [*elsewhere, elsewhere[0]], strict=True) for copy in pair]
        assert segment.partition(pack(mixed)) == (pack(here), pack([*elsewhere, elsewhere[0]]))

    def test_one_that_was_not_scanned_has_nothing(self, basis: int) -> None:
        segment = Segment(1000)
        with file_with() as fd, pytest.raises(ValueError, match="not scanned"):
            TargetWriter(fd, 1000, KEY).copy(basis, pack([(0, 0, 1000)]), segment)
        with pytest.raises(ValueError, match="not scanned"):
            segment.partition(b"")
