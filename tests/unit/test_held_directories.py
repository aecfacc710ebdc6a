"""Directories that a root keeps open: few, never wrong, closed when nobody uses them."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from parasync.config import MAX_DEPTH
from parasync.errors import ProtocolError
from parasync.tree.safepath import HELD_DIRECTORIES, Descriptor, Root


@pytest.fixture
def root(tmp_path: Path):
    with Root.open(str(tmp_path)) as opened:
        yield opened


def content(root: Root, path: bytes) -> bytes:
    with open(root.open_read(path), "rb") as file:
        return file.read()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_renamed_and_removed_directories_are_not_used_under_their_old_path(root, tmp_path):
    root.mkdir(b"a", 0o755)
    root.mkdir(b"a/b", 0o755)
    (tmp_path / "a/b/f").write_bytes(b"1")
    assert content(root, b"a/b/f") == b"1"
    root.rename(b"a", b"c")
    assert root.lstat(b"a/b/f") is None
    assert content(root, b"c/b/f") == b"1"
    root.remove_tree(b"c")
    root.mkdir(b"c", 0o755)
    assert root.lstat(b"c/b/f") is None
    root.mkdir(b"c/b", 0o755)
    assert root.listdir(b"c/b") == []
    root.mkdir(b"d", 0o755)
    root.rename(b"d", b"c/b")
    (tmp_path / "c/b/new").write_bytes(b"2")
    assert content(root, b"c/b/new") == b"2"


def test_few_directories_stay_open_and_all_are_closed(tmp_path):
    before = open_descriptors()
    root = Root.open(os.fsencode(tmp_path))
    for number in range(3 * HELD_DIRECTORIES):
        name = b"%d" % number
        root.mkdir(name, 0o755)
        root.mkdir(name + b"/x", 0o755)
    assert open_descriptors() <= before + HELD_DIRECTORIES + 1
    root.close()
    assert open_descriptors() == before
    with pytest.raises(OSError) as caught:
        root.lstat(b"1")
    assert caught.value.errno == errno.EBADF


def test_the_deepest_allowed_tree_can_be_made_and_removed_with_few_descriptors(root):
    before = open_descriptors()
    path = b"d"
    root.mkdir(path, 0o755)
    for _ in range(MAX_DEPTH - 1):
        path += b"/d"
        root.mkdir(path, 0o755)
    with pytest.raises(ProtocolError, match="1025 components"):
        root.mkdir(path + b"/d", 0o755)
    root.utime(path, 5)
    assert root.lstat(path).st_mtime_ns == 5
    assert open_descriptors() <= before + HELD_DIRECTORIES + 1
    root.remove_tree(b"d")
    assert root.listdir(b"") == []


def test_a_subroot_is_walked_afresh_and_outlives_its_parent(tmp_path):
    root = Root.open(str(tmp_path))
    root.mkdir(b"a", 0o755)
    (tmp_path / "a/old").write_bytes(b"")
    assert root.lstat(b"a/old")
    (tmp_path / "a").rename(tmp_path / "moved")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/new").write_bytes(b"")
    below = root.subroot(b"a")
    whole = root.subroot(b"")
    root.close()
    with below, whole:
        assert below.listdir(b"") == [b"new"]
        assert whole.lstat(b"a/new")


def test_threads_share_a_root_without_meeting_the_wrong_directory(root, tmp_path):
    """Three times as many directories as are held open, so descriptors are closed under running threads."""
    count = 3 * HELD_DIRECTORIES
    for number in range(count):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "f").write_bytes(b"%d" % number)
    wrong: list[object] = []

    def read(start: int) -> None:
        try:
            for step in range(1500):
                number = (start + step * 7) % count
                if content(root, b"%d/f" % number) != b"%d" % number:
                    wrong.append(number)
        except OSError as error:
            wrong.append(error)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(0, count, count // 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_directory_in_use_survives_the_end_of_its_root(tmp_path):
    root = Root.open(str(tmp_path))
    root.mkdir(b"d", 0o755)
    directory = root.directory(b"d")
    root.close()
    os.mkdir("x", dir_fd=directory.fd)
    assert os.listdir(tmp_path / "d") == ["x"]


def test_a_closed_descriptor_names_nothing(tmp_path):
    descriptor = Descriptor(os.open(tmp_path, os.O_RDONLY))
    descriptor.close()
    descriptor.close()
    assert descriptor.fd == -1
