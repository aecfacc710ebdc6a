"""A file's chunking job: what it does when the file is cut under it."""

from __future__ import annotations

import os
from pathlib import Path

from native_support import KEY
from parasync.chunking import ChunkingJob
from parasync.kernels import ChunkTable, Segment

AVERAGE = 2048
SEGMENT = 100_000


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
