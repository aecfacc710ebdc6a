"""A file's chunking job: what its segments are used for, and what it does when the file is cut under it."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

from native_support import KEY
from parasync.chunking import ChunkingJob, SegmentUse
from parasync.kernels import ChunkTable, Segment

AVERAGE = 2048
SEGMENT = 100_000


class Used:
    """A job of `count` segments whose uses are noted, and wait for `go` if they are told to."""

    def __init__(self, tmp_path: Path, count: int, follow: Callable[[int], SegmentUse | None]) -> None:
        (tmp_path / "file").write_bytes(random.Random(1).randbytes(count * SEGMENT))
        fd = os.open(tmp_path / "file", os.O_RDONLY)
        self.segments = [Segment(SEGMENT) for _ in range(count)]
        self.released: list[int] = []

        def merged(segment: Segment) -> Callable[[], SegmentUse | None]:
            number = self.segments.index(segment)
            return lambda: follow(number)

        table = ChunkTable(AVERAGE, count * SEGMENT)
        self.job = ChunkingJob(fd, table, lambda *_: None, fail, merged=merged, keep=True)
        os.close(fd)
        for segment in self.segments:
            taken = self.job.take(SEGMENT)
            assert taken is not None
            segment.scan_file(KEY, AVERAGE, self.job.fd, taken[1], taken[2], keep=True)

    def merge(self, number: int) -> None:
        self.job.merge(number, self.segments[number], KEY, lambda one: self.released.append(self.segments.index(one)))


def fail(error: Exception) -> None:
    raise error


class TestUses:
    def test_one_at_a_time_while_others_are_merged(self, tmp_path: Path) -> None:
        begun, go = threading.Event(), threading.Event()
        seen: list[str] = []

        def follow(number: int) -> SegmentUse | None:
            seen.append(f"follow {number}")
            if number == 2:
                return None

            def use() -> None:
                seen.append(f"use {number}")
                assert number not in used.released
                begun.set()
                assert go.wait(10)
                seen.append(f"used {number}")

            return use

        used = Used(tmp_path, 4, follow)
        thread = threading.Thread(target=used.merge, args=(0,))
        thread.start()
        assert begun.wait(10)
        for number in (2, 1, 3):
            used.merge(number)  # returns, although the first segment is still used
        assert seen == ["follow 0", "use 0", "follow 1", "follow 2", "follow 3"]
        assert used.released == [2], "it has no use"
        assert used.job.fd >= 0
        go.set()
        thread.join()
        assert seen[5:] == ["used 0", "use 1", "used 1", "use 3", "used 3"]
        assert used.released == [2, 0, 1, 3]
        assert used.job.fd == -1

    def test_one_that_fails_gives_all_waiting_segments_back(self, tmp_path: Path) -> None:
        begun, go = threading.Event(), threading.Event()
        errors: list[OSError] = []

        def follow(number: int) -> SegmentUse:
            def use() -> None:
                begun.set()
                assert go.wait(10)
                raise OSError(number)

            return use

        def first() -> None:
            try:
                used.merge(0)
            except OSError as error:
                errors.append(error)

        used = Used(tmp_path, 3, follow)
        thread = threading.Thread(target=first)
        thread.start()
        assert begun.wait(10)
        used.merge(1)
        used.merge(2)
        go.set()
        thread.join()
        assert [error.args for error in errors] == [(0,)]
        assert used.released == [0, 1, 2]
        assert used.job.fd == -1


def test_a_file_that_is_cut_between_scan_and_merge_fails_once_and_is_closed(tmp_path: Path) -> None:
    """Forced cuts need bytes again, which were not kept."""
    (tmp_path / "file").write_bytes(b"\x01" * 3 * SEGMENT)
    fd = os.open(tmp_path / "file", os.O_RDWR)
    errors: list[Exception] = []
    released: list[Segment] = []
    job = ChunkingJob(fd, ChunkTable(AVERAGE, 3 * SEGMENT), lambda *_: None, errors.append)
    segments = [Segment(SEGMENT) for _ in range(3)]
    for segment in segments:
        taken = job.take(SEGMENT)
        assert taken is not None
        segment.scan_file(KEY, AVERAGE, job.fd, taken[1], taken[2])
    os.ftruncate(fd, 0)
    os.close(fd)
    for number in (2, 1, 0):
        job.merge(number, segments[number], KEY, released.append)
    assert [type(error) for error in errors] == [EOFError]
    assert len(released) == 3
    assert job.fd == -1
