"""New content appears under its name whole, with its metadata, or not at all."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import stat
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from parasync.errors import FileError
from parasync.model import Entry, Kind
from parasync.tree.commit import PendingFile
from parasync.tree.safepath import Root, is_temp
from support import write_small

MTIME = 1_600_000_000_123_456_789


@pytest.fixture
def root(tmp_path: Path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"old content")
    with Root.open(str(tmp_path)) as opened:
        yield opened


def entry(mode: int = 0o644, mtime: int = MTIME) -> Entry:
    return Entry(b"d/f", Kind.FILE, 3, mtime, mode)


def temps(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if is_temp(os.fsencode(name))]


@contextmanager
def file_size_limit(limit: int):
    """Writes beyond `limit` fail, as on a full or limited file system."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("fsync", [False, True])
def test_the_old_content_stands_until_commit(root, tmp_path, fsync):
    target = tmp_path / "d/f"
    with target.open("rb") as reader:
        pending = PendingFile.create(root, b"d/f", 3)
        os.pwrite(pending.fd, b"w", 2)
        os.pwrite(pending.fd, b"ne", 0)
        assert target.read_bytes() == b"old content"
        assert len(temps(tmp_path / "d")) == 1
        pending.commit(entry(0o4751), fsync)
        assert target.read_bytes() == b"new"
        assert reader.read() == b"old content"
    assert (target.stat().st_mtime_ns, stat.S_IMODE(target.stat().st_mode)) == (MTIME, 0o4751)
    assert os.listdir(tmp_path / "d") == ["f"]


@pytest.mark.parametrize("fsync", [False, True])
def test_small_files_are_written_whole(root, tmp_path, fsync):
    write_small(root, b"d/f", b"new", entry(0o600), fsync)
    write_small(root, b"empty", b"", entry(0o444), fsync)
    status = (tmp_path / "d/f").stat()
    assert ((tmp_path / "d/f").read_bytes(), status.st_mtime_ns, stat.S_IMODE(status.st_mode)) == (b"new", MTIME, 0o600)
    assert (tmp_path / "empty").read_bytes() == b""
    assert os.listdir(tmp_path / "d") == ["f"]


def test_the_umask_takes_nothing_away(root, tmp_path):
    before = os.umask(0o077)
    try:
        write_small(root, b"d/small", b"new", entry(0o666), False)
        PendingFile.create(root, b"d/large", 3).commit(entry(0o666), False)
    finally:
        os.umask(before)
    assert {stat.S_IMODE((tmp_path / "d" / name).stat().st_mode) for name in ("small", "large")} == {0o666}


def test_times_before_1970(root, tmp_path):
    write_small(root, b"d/f", b"", entry(mtime=-1_500_000_001), False)
    assert (tmp_path / "d/f").stat().st_mtime_ns == -1_500_000_001


def test_a_link_at_the_target_is_replaced_and_what_it_points_to_kept(root, tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    for name in ("a", "b"):
        (tmp_path / name).symlink_to("precious")
    write_small(root, b"a", b"new", entry(), False)
    PendingFile.create(root, b"b", 0).commit(entry(), False)
    assert ((tmp_path / "a").is_symlink(), (tmp_path / "b").is_symlink()) == (False, False)
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_discard_leaves_no_trace_and_may_be_repeated(root, tmp_path):
    pending = PendingFile.create(root, b"d/f", 3)
    pending.discard()
    pending.discard()
    assert (tmp_path / "d/f").read_bytes() == b"old content"
    assert temps(tmp_path / "d") == []


def test_discard_does_not_mind_a_vanished_file_or_directory(root, tmp_path):
    first, second = (PendingFile.create(root, b"d/f", 3) for _ in range(2))
    for name in temps(tmp_path / "d"):
        (tmp_path / "d" / name).unlink()
    first.discard()
    root.remove_tree(b"d")
    second.discard()


def test_a_writer_may_go_on_after_discard_and_hits_no_other_file(root, tmp_path):
    pending = PendingFile.create(root, b"d/f", 3)
    pending.discard()
    with (tmp_path / "other").open("wb") as other:
        assert other.fileno() != pending.fd
        os.pwrite(pending.fd, b"late", 0)
    assert (tmp_path / "other").read_bytes() == b""


def test_no_descriptor_is_left_after_commit_or_discard(root):
    root.lstat(b"d/f")
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        pending = PendingFile.create(root, b"d/f", 3)
        if number % 2:
            pending.commit(entry(), False)
            assert pending.fd == -1
        else:
            pending.discard()
    del pending
    write_small(root, b"d/f", b"x", entry(), False)
    assert len(os.listdir("/proc/self/fd")) == before


def test_commit_after_discard_fails_and_changes_nothing(root, tmp_path):
    pending = PendingFile.create(root, b"d/f", 3)
    pending.discard()
    with pytest.raises(FileError, match="'f'"):
        pending.commit(entry(), False)
    assert (tmp_path / "d/f").read_bytes() == b"old content"


def test_discard_after_commit_keeps_the_new_file(root, tmp_path):
    pending = PendingFile.create(root, b"d/f", 0)
    pending.commit(entry(), False)
    pending.discard()
    assert (tmp_path / "d/f").read_bytes() == b""


def test_commit_and_discard_from_two_threads_have_one_outcome(root, tmp_path):
    for _ in range(150):
        write_small(root, b"d/f", b"old", entry(), False)
        pending = PendingFile.create(root, b"d/f", 0)
        barrier = threading.Barrier(2)

        def discard(pending: PendingFile = pending, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            pending.discard()

        thread = threading.Thread(target=discard)
        thread.start()
        barrier.wait()
        try:
            pending.commit(entry(), False)
            outcome = b""
        except FileError:
            outcome = b"old"
        thread.join()
        assert (tmp_path / "d/f").read_bytes() == outcome
        assert os.listdir(tmp_path / "d") == ["f"]


def test_what_does_not_fit_leaves_the_old_file_and_nothing_else(root, tmp_path):
    with file_size_limit(4096):
        with pytest.raises(OSError) as caught:
            write_small(root, b"d/f", b"x" * 10_000, entry(), False)
        assert caught.value.errno == errno.EFBIG
        with pytest.raises(OSError) as caught:
            PendingFile.create(root, b"d/f", 10_000)
        assert caught.value.errno == errno.EFBIG
    assert (tmp_path / "d/f").read_bytes() == b"old content"
    assert os.listdir(tmp_path / "d") == ["f"]


def test_an_absurd_size_is_refused_before_any_byte(root, tmp_path):
    with pytest.raises(OSError):
        PendingFile.create(root, b"d/f", 2**62)
    with pytest.raises(OverflowError):
        PendingFile.create(root, b"d/f", 2**70)
    assert os.listdir(tmp_path / "d") == ["f"]


def test_a_directory_at_the_target_stays(root, tmp_path):
    with pytest.raises(IsADirectoryError):
        write_small(root, b"d", b"x", entry(), False)
    with pytest.raises(IsADirectoryError):
        PendingFile.create(root, b"d", 0).commit(entry(), False)
    assert os.listdir(tmp_path) == ["d"]


@pytest.mark.parametrize("path", [b"missing/f", b"d/f/below"])
def test_a_missing_parent_is_an_error_of_the_system(root, path):
    with pytest.raises(OSError):
        write_small(root, path, b"x", entry(), False)
    with pytest.raises(OSError):
        PendingFile.create(root, path, 1)


def test_the_root_is_no_file(root, tmp_path):
    with pytest.raises(OSError):
        write_small(root, b"", b"x", entry(), False)
    assert os.listdir(tmp_path) == ["d"]


def test_the_file_goes_where_its_directory_is_even_if_that_was_renamed(root, tmp_path):
    """The new file and its name are in one directory at all times: there is nothing to copy, nothing to mix up."""
    pending = PendingFile.create(root, b"d/f", 0)
    (tmp_path / "d").rename(tmp_path / "moved")
    (tmp_path / "d").mkdir()
    pending.commit(entry(), True)
    assert (tmp_path / "moved/f").read_bytes() == b""
    assert os.listdir(tmp_path / "d") == []
