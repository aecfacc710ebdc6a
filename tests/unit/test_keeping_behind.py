"""A basis that is chunked behind its target: what is allowed when, and what comes of it."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parasync.api import sync
from parasync.chunking import ChunkingJob, ChunkingPool, chunk_file
from parasync.config import DEFAULT_AVERAGE
from parasync.kernels import ChunkTable, fingerprint_key
from parasync.options import Options
from parasync.pipeline import Scope
from parasync.server import Module
from parasync.session import incoming
from parasync.tracing import Tracer
from support import serving

KEY = fingerprint_key(bytes(16))
SEGMENT = 1 << 20
DATA = random.Random(3).randbytes(8 * SEGMENT + 12345)
FOREVER = 3600.0


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(DATA)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    yield fd
    os.close(fd)


def new_job(fd: int) -> ChunkingJob:
    return ChunkingJob(fd, ChunkTable(DEFAULT_AVERAGE, len(DATA)), lambda *_: None, lambda _: None)


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.001)


def stays(job: ChunkingJob, seconds: float = 0.05) -> int:
    """Where the job is when it has done what it may."""
    time.sleep(seconds)
    before = job.table.end
    time.sleep(seconds)
    assert job.table.end == before
    return before


@pytest.mark.parametrize("threads", [1, 3])
def test_it_goes_as_far_as_it_may(file: int, threads: int) -> None:
    job = new_job(file)
    job.hold(FOREVER)
    with Scope("test") as scope:
        pool = ChunkingPool(scope, KEY, threads, SEGMENT)
        pool.submit(job)
        pool.close()
        assert stays(job) == 0
        job.allow(SEGMENT - 1)
        assert stays(job) == 0
        job.allow(3 * SEGMENT)
        wait_until(lambda: job.table.end > 2 * SEGMENT)
        assert stays(job) <= 3 * SEGMENT
        job.allow(SEGMENT)
        assert stays(job) <= 3 * SEGMENT
        job.allow(len(DATA))
    assert job.table.encode(0, len(job.table)) == _expected(file)


def _expected(fd: int) -> bytes:
    table = chunk_file(fd, len(DATA), KEY, DEFAULT_AVERAGE, 1).table
    return table.encode(0, len(table))


def test_patience_is_spent_by_waiting_only(file: int) -> None:
    job = new_job(file)
    job.hold(0.2)
    begin = time.monotonic()
    with Scope("test") as scope:
        pool = ChunkingPool(scope, KEY, 2, SEGMENT)
        pool.submit(job)
        pool.close()
        time.sleep(0.05)
        job.allow(2 * SEGMENT)
    assert time.monotonic() - begin >= 0.2
    assert job.table.encode(0, len(job.table)) == _expected(file)


def test_other_files_do_not_wait_for_it(file: int) -> None:
    held, free = new_job(file), new_job(file)
    held.hold(FOREVER)
    with Scope("test") as scope:
        pool = ChunkingPool(scope, KEY, 1, SEGMENT)
        pool.submit(held)
        pool.submit(free)
        pool.close()
        wait_until(lambda: free.table.end == len(DATA))
        assert held.table.end == 0
        held.allow(len(DATA))
    assert held.table.end == len(DATA)


@pytest.mark.parametrize("close_first", [False, True])
def test_who_waits_hears_that_it_is_stopped(file: int, close_first: bool) -> None:
    job = new_job(file)
    job.hold(FOREVER)
    begin = time.monotonic()
    with Scope("test") as scope:
        pool = ChunkingPool(scope, KEY, 2, SEGMENT)
        pool.submit(job)
        if close_first:
            pool.close()
        time.sleep(0.02)
        job.stop()
        if not close_first:
            pool.close()
    assert time.monotonic() - begin < 10
    assert job.fd == -1


def test_cancelling_ends_the_waiting(file: int) -> None:
    job = new_job(file)
    job.hold(FOREVER)
    with pytest.raises(KeyboardInterrupt), Scope("test") as scope:
        pool = ChunkingPool(scope, KEY, 2, SEGMENT)
        pool.submit(job)
        raise KeyboardInterrupt
    job.stop()


class TestSyncs:
    """Over loopback, which is a short link."""

    new = random.Random(1).randbytes(40_000_000)
    old = new[:10_000_000] + random.Random(2).randbytes(100_000) + new[10_050_000:]

    @pytest.fixture
    def url(self, tmp_path: Path) -> Iterator[str]:
        (tmp_path / "new").write_bytes(self.new)
        (tmp_path / "m").mkdir()
        (tmp_path / "m/file").write_bytes(self.old)
        with serving(Module("m", os.fsencode(tmp_path / "m"), read_only=False)) as url:
            yield url

    def test_hardly_anything_is_read_twice(self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(incoming, "BEHIND_SECONDS", FOREVER)
        tracer = Tracer()
        report = sync(tmp_path / "new", f"{url}/m/file", Options(), tracer=tracer)
        assert (tmp_path / "m/file").read_bytes() == self.new
        assert report.totals.bytes_literal < 100_000
        copiers = Counter(span.thread.rstrip("0123456789") for span in tracer.peer_spans if span.name == "copy")
        # Whoever looks up chunks of the target between a segment's merge and its own look-up takes that one's copies.
        assert copiers["basis"] > 2 * copiers["copy"]

    @pytest.mark.parametrize("behind", [0, 1 << 40])
    def test_any_distance_gives_the_same(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: int
    ) -> None:
        monkeypatch.setattr(incoming, "BEHIND_BYTES", behind)
        report = sync(tmp_path / "new", f"{url}/m/file", Options())
        assert (tmp_path / "m/file").read_bytes() == self.new
        assert report.totals.bytes_literal < 100_000

    def test_a_new_file_that_is_much_shorter(self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(incoming, "BEHIND_SECONDS", FOREVER)
        (tmp_path / "new").write_bytes(self.new[30_000_000:])
        report = sync(tmp_path / "new", f"{url}/m/file", Options())
        assert (tmp_path / "m/file").read_bytes() == self.new[30_000_000:]
        assert report.totals.bytes_literal < 50_000
