"""Phase I that is begun before it is known to be needed: adopted where it fits, given up where not."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from parasync.chunking import ChunkingPool, chunk_file
from parasync.config import CHUNKING_DEFAULT, CHUNKING_PAPER, DEFAULT_AVERAGE, MATCHING_WEAK_STRONG, SEGMENT_BYTES
from parasync.kernels import ChunkTable, fingerprint_key
from parasync.options import Options
from parasync.pipeline import Channel, Scope
from parasync.session.ahead import TARGET, Ahead, EarlyFile, new_key
from parasync.tree.safepath import Root

KEY = bytes(range(16))
DATA = random.Random(1).randbytes(3 * SEGMENT_BYTES + 12345)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "file").write_bytes(DATA)
    with Root.open(bytes(tmp_path)) as root:
        yield root


class Told:
    """What an adopted file told: (first, count, last) of each batch, and errors."""

    def __init__(self, scope: Scope) -> None:
        self.batches: list[tuple[int, int, bool]] = []
        self.errors: list[Exception] = []
        self._over: Channel[None] = Channel(scope, 9)

    def sink(self, first: int, count: int, last: bool) -> None:
        self.batches.append((first, count, last))
        if last:
            self._over.put(None)

    def failed(self, error: Exception) -> None:
        self.errors.append(error)
        self._over.put(None)

    def wait(self) -> None:
        self._over.get()


def taken(
    ahead: Ahead,
    root: Root,
    average: int = DEFAULT_AVERAGE,
    rule: str = CHUNKING_DEFAULT,
    name: bytes = b"file",
    use: str = TARGET,
) -> EarlyFile | None:
    fd = root.open_read(name)
    try:
        return ahead.take(fd, use, average, rule)
    finally:
        os.close(fd)


def expected() -> ChunkTable:
    fd = os.memfd_create("expected")
    try:
        os.write(fd, DATA)
        return chunk_file(fd, len(DATA), fingerprint_key(KEY), DEFAULT_AVERAGE, 1).table
    finally:
        os.close(fd)


@pytest.mark.parametrize("late", [False, True])
def test_what_was_begun_is_what_would_have_been_done(root: Root, late: bool) -> None:
    with Scope("test") as scope, Ahead(KEY) as ahead:
        ahead.begin(root, b"file", TARGET, Options(threads=3))
        early = taken(ahead, root)
        assert early is not None
        if late:
            while early.table.end < early.table.size:
                threading.Event().wait(0.001)
        told = Told(scope)
        early.adopt(told.sink, told.failed)
        told.wait()
    assert told.errors == []
    assert early.table.encode(0, len(early.table)) == expected().encode(0, len(expected()))
    nexts = 0
    for first, count, last in told.batches:
        assert first == nexts
        nexts += count
        assert last == (nexts == len(early.table))


def test_it_is_taken_once(root: Root) -> None:
    with Ahead(KEY) as ahead:
        ahead.begin(root, b"file", TARGET, Options())
        assert taken(ahead, root) is not None
        assert taken(ahead, root) is None


def test_another_average_has_other_chunks(root: Root) -> None:
    with Ahead(KEY) as ahead:
        ahead.begin(root, b"file", TARGET, Options())
        assert taken(ahead, root, average=16384) is None
        assert taken(ahead, root) is None, "it was given up"


def test_another_rule_has_other_chunks(root: Root) -> None:
    with Ahead(KEY) as ahead:
        ahead.begin(root, b"file", TARGET, Options())
        assert taken(ahead, root, rule=CHUNKING_PAPER) is None


class TestBegunTwice:
    """Once from a look at the command line, and once when the options are known."""

    def begun(self, root: Root, ahead: Ahead, name: bytes = b"file") -> None:
        fd = root.open_read(name)
        ahead.begin_on(fd, TARGET)
        os.close(fd)

    def test_the_same_file_goes_on(self, root: Root) -> None:
        with Ahead(KEY) as ahead:
            self.begun(root, ahead)
            first = ahead._file
            ahead.begin(root, b"file", TARGET, Options(threads=3))
            assert first is not None
            assert taken(ahead, root) is first

    @pytest.mark.parametrize(
        ("options", "average", "rule"),
        [
            (Options(average=16384), 16384, CHUNKING_DEFAULT),
            (Options(chunking=CHUNKING_PAPER), DEFAULT_AVERAGE, CHUNKING_PAPER),
        ],
    )
    def test_other_options_begin_anew(self, root: Root, options: Options, average: int, rule: str) -> None:
        with Ahead(KEY) as ahead:
            self.begun(root, ahead)
            first = ahead._file
            ahead.begin(root, b"file", TARGET, options)
            second = taken(ahead, root, average, rule)
            assert second is not None
            assert second is not first
            told = Told(ahead._scope)
            second.adopt(told.sink, told.failed)
            told.wait()
            assert told.errors == []
            assert second.table.end == len(DATA)

    def test_another_file_begins_anew(self, root: Root, tmp_path: Path) -> None:
        (tmp_path / "other").write_bytes(DATA)
        with Ahead(KEY) as ahead:
            self.begun(root, ahead, b"other")
            ahead.begin(root, b"file", TARGET, Options())
            assert taken(ahead, root) is not None

    @pytest.mark.parametrize("options", [Options(whole_file=True), Options(dry_run=True)])
    def test_what_is_not_needed_is_given_up(self, root: Root, options: Options) -> None:
        with Ahead(KEY) as ahead:
            self.begun(root, ahead)
            ahead.begin(root, b"file", TARGET, options)
            assert taken(ahead, root) is None

    def test_what_is_not_there_is_given_up(self, root: Root) -> None:
        with Ahead(KEY) as ahead:
            self.begun(root, ahead)
            ahead.begin(root, b"absent", TARGET, Options())
            assert taken(ahead, root) is None


def test_the_average_may_be_chosen(root: Root) -> None:
    with Ahead(KEY) as ahead:
        ahead.begin(root, b"file", TARGET, Options(average=16384))
        assert taken(ahead, root, average=16384) is not None


@pytest.mark.parametrize("change", ["replaced", "touched", "grown"])
def test_a_file_that_changed_since_is_not_that_file(root: Root, tmp_path: Path, change: str) -> None:
    with Ahead(KEY) as ahead:
        ahead.begin(root, b"file", TARGET, Options())
        if change == "replaced":
            status = (tmp_path / "file").stat()
            (tmp_path / "new").write_bytes(DATA)
            os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
            (tmp_path / "new").rename(tmp_path / "file")
        elif change == "touched":
            os.utime(tmp_path / "file", ns=(1, 1))
        else:
            with open(tmp_path / "file", "ab") as file:
                file.write(b"x")
        assert taken(ahead, root) is None


def test_nothing_is_begun_that_cannot_be_of_use(root: Root, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(DATA[:1000])
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    for options, name in (
        (Options(whole_file=True), b"file"),
        (Options(dry_run=True), b"file"),
        (Options(matching=MATCHING_WEAK_STRONG), b"file"),
        (Options(), b"small"),
        (Options(), b"directory"),
        (Options(), b"link"),
        (Options(), b"fifo"),
        (Options(), b"absent"),
    ):
        before = threading.active_count()
        with Ahead(KEY) as ahead:
            ahead.begin(root, name, TARGET, options)
            assert threading.active_count() == before
            assert taken(ahead, root) is None


@pytest.mark.parametrize("late", [False, True])
def test_a_file_that_shrinks_is_an_error_for_who_adopts_it(root: Root, tmp_path: Path, late: bool) -> None:
    fd = root.open_read(b"file")
    early = EarlyFile(fd, TARGET, DEFAULT_AVERAGE, Options().chunking)
    os.close(fd)
    os.truncate(tmp_path / "file", SEGMENT_BYTES + 1)
    with Scope("test") as scope:
        told = Told(scope)
        if not late:
            early.adopt(told.sink, told.failed)
        pool = ChunkingPool(scope, fingerprint_key(KEY), 1)
        pool.submit(early.job)
        pool.close()
        while late and early.job.fd >= 0:
            threading.Event().wait(0.001)
        if late:
            early.adopt(told.sink, told.failed)
        told.wait()
    assert [type(error) for error in told.errors] == [EOFError]


def test_leaving_ends_the_work(root: Root, tmp_path: Path) -> None:
    os.truncate(tmp_path / "file", 1 << 36)
    before = len(os.listdir("/proc/self/fd"))
    with Ahead(KEY) as ahead:
        ahead.begin(root, b"file", TARGET, Options())
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(KeyboardInterrupt), Ahead(KEY) as ahead:
        ahead.begin(root, b"file", TARGET, Options())
        raise KeyboardInterrupt
    assert len(os.listdir("/proc/self/fd")) == before


def test_keys_are_fresh() -> None:
    assert len({new_key() for _ in range(100)}) == 100
