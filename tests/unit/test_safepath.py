"""Paths below a root: which are accepted, and what every operation on them does."""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parasync.config import MAX_DEPTH, MAX_NAME, MAX_PATH
from parasync.errors import ProtocolError
from parasync.tree.safepath import TEMP_PREFIX, Root, check_path, is_temp
from unprivileged import as_nobody, give_away

AWKWARD = [
    b"-rf",
    b"a\nb",
    b"\xff\xfe",
    b" ",
    b"...",
    b".hidden",
    b"*",
    b"a" * 255,
    "äß€".encode(),
    b"\x1b[2J",
    b"a\\b",
]

names = st.one_of(
    st.sampled_from(AWKWARD),
    st.binary(min_size=1, max_size=60).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_")),
).filter(lambda name: name not in {b".", b".."})


@pytest.fixture
def root(tmp_path: Path):
    with Root.open(str(tmp_path)) as opened:
        yield opened


def content(root: Root, path: bytes) -> bytes:
    with open(root.open_read(path), "rb") as file:
        return file.read()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# -- check_path --------------------------------------------------------------------------------------


@given(st.lists(names, min_size=0, max_size=8))
def test_paths_of_ordinary_components_are_accepted_as_they_are(parts):
    path = b"/".join(parts)
    assert check_path(path) is path


@given(st.lists(st.sampled_from([b"", b".", b"..", b"a", b"\0", b"b\0", b"x" * 256, b"...", b"..a", b"-"]), max_size=6))
def test_a_path_is_refused_exactly_if_a_component_is_bad(parts):
    path = b"/".join(parts)
    bad = any(part in {b"", b".", b".."} or b"\0" in part or len(part) > MAX_NAME for part in path.split(b"/"))
    if path == b"" or not bad:
        assert check_path(path) == path
    else:
        with pytest.raises(ProtocolError):
            check_path(path)


@pytest.mark.parametrize(
    "path",
    [b"/", b"/a", b"a/", b"a//b", b".", b"..", b"a/./b", b"a/../b", b"../a", b"a/..", b"\0", b"a/\0", b"x" * 256],
)
def test_bad_paths_are_refused_with_one_printable_line(path):
    with pytest.raises(ProtocolError) as caught:
        check_path(path)
    assert str(caught.value).isprintable()


def test_limits_are_inclusive():
    deepest = b"/".join([b"d"] * MAX_DEPTH)
    longest = (b"x" * 200 + b"/") * 20 + b"y" * (MAX_PATH - 201 * 20)
    for path in (deepest, longest, b"n" * MAX_NAME):
        assert check_path(path) == path
    for path in (deepest + b"/d", longest + b"y", b"n" * (MAX_NAME + 1), b"/".join([b"d"] * 100_000)):
        with pytest.raises(ProtocolError) as caught:
            check_path(path)
        assert len(str(caught.value)) < 500


def test_temporary_names_are_ours_only():
    assert is_temp(TEMP_PREFIX + b"0123456789abcdef")
    for name in (b"", b"parasync", TEMP_PREFIX, b".parasync.conf", TEMP_PREFIX + b"0123456789ABCDEF"):
        assert not is_temp(name)
    assert not is_temp(TEMP_PREFIX + b"0123456789abcdef0")
    assert not is_temp(TEMP_PREFIX + b"0123456789abcdef\n")


# -- operations --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(names, min_size=1, max_size=4), names, names)
def test_any_name_lives_a_whole_life(parents, name, other):
    with tempfile.TemporaryDirectory() as directory, Root.open(directory) as root:
        for depth in range(1, len(parents) + 1):
            root.mkdir(b"/".join(parents[:depth]), 0o755)
        parent = b"/".join(parents)
        path, renamed = parent + b"/" + name, parent + b"/" + other
        fd, temp = root.create_temp(path)
        os.write(fd, b"content")
        os.close(fd)
        root.rename(temp, path)
        assert content(root, path) == b"content"
        assert root.listdir(parent) == [name]
        assert (Path(os.fsdecode(directory)) / os.fsdecode(path)).read_bytes() == b"content"
        root.rename(path, renamed)
        root.symlink(name, path) if name != other else None
        assert name == other or root.readlink(path) == name
        root.unlink(renamed)
        assert root.lstat(renamed) is None
        root.remove_tree(parents[0])
        assert root.listdir(b"") == []


@pytest.mark.parametrize("path", [b"..", b"../x", b"a/../../x", b"/etc/passwd", b"./a", b"a//b", b"a\0b"])
def test_every_operation_refuses_paths_that_are_no_paths(root, path):
    for call in (
        root.lstat, root.open_read, root.readlink, root.listdir, root.unlink, root.rmdir, root.remove_tree,
        root.directory, root.create_temp, root.fsync_dir, root.subroot,
        lambda p: root.mkdir(p, 0o700), lambda p: root.chmod(p, 0o700), lambda p: root.utime(p, 0),
        lambda p: root.symlink(b"t", p), lambda p: root.rename(p, b"x"), lambda p: root.rename(b"x", p),
    ):  # fmt: skip
        with pytest.raises(ProtocolError):
            call(path)


def test_the_root_itself_can_be_looked_at_but_not_removed_or_replaced(root, tmp_path):
    assert root.lstat(b"").st_ino == tmp_path.stat().st_ino
    root.utime(b"", 10**18)
    root.chmod(b"", 0o711)
    assert (tmp_path.stat().st_mtime_ns, stat.S_IMODE(tmp_path.stat().st_mode)) == (10**18, 0o711)
    root.mkdir(b"d", 0o755)
    for call in (
        root.unlink, root.rmdir, root.remove_tree, root.readlink, root.open_read,
        lambda p: root.symlink(b"t", p), lambda p: root.rename(p, b"x"), lambda p: root.rename(b"d", p),
    ):  # fmt: skip
        with pytest.raises(OSError):
            call(b"")
    assert os.listdir(tmp_path) == ["d"]


def test_lstat_finds_nothing_where_nothing_can_be(root, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(".")
    assert root.lstat(b"missing") is None
    assert root.lstat(b"missing/deeper") is None
    assert root.lstat(b"file/below") is None
    assert root.lstat(b"link/file") is None
    assert stat.S_ISLNK(root.lstat(b"link").st_mode)


def test_only_regular_files_are_opened_and_nothing_blocks(root, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    with socket.socket(socket.AF_UNIX) as server:
        # A short relative name, because addresses are short.
        directory = os.open(tmp_path, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
    before = open_descriptors()
    for name, reason in (
        (b"fifo", errno.EOPNOTSUPP),
        (b"dir", errno.EISDIR),
        (b"link", errno.ELOOP),
        (b"socket", errno.ENXIO),
    ):
        with pytest.raises(OSError) as caught:
            root.open_read(name)
        assert caught.value.errno == reason
        del caught
    assert open_descriptors() == before
    assert content(root, b"file") == b"x"


def test_symlink_replaces_files_and_links_but_no_directory(root, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "dir").mkdir()
    root.symlink(b"first", b"link")
    root.symlink(b"second\xff", b"link")
    root.symlink(b"third", b"file")
    assert (root.readlink(b"link"), root.readlink(b"file")) == (b"second\xff", b"third")
    with pytest.raises(IsADirectoryError):
        root.symlink(b"t", b"dir")
    assert sorted(os.listdir(tmp_path)) == ["dir", "file", "link"]


def test_a_link_that_is_replaced_is_there_at_all_times(root):
    root.symlink(b"0", b"link")
    missing: list[object] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if root.lstat(b"link") is None:
                missing.append(True)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(500):
        root.symlink(b"%d" % number, b"link")
    done.set()
    watcher.join()
    assert missing == []


@pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * (MAX_PATH + 1)])
def test_impossible_link_targets_are_refused(root, target):
    with pytest.raises(ProtocolError):
        root.symlink(target, b"link")
    assert root.listdir(b"") == []


def test_mode_and_time_of_a_link_are_its_own(root, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    before = (tmp_path / "file").stat()
    root.utime(b"link", 123456789)
    with pytest.raises(OSError) as caught:
        root.chmod(b"link", 0o777)
    assert caught.value.errno == errno.EOPNOTSUPP
    after = (tmp_path / "file").stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_mode,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
    assert (tmp_path / "link").lstat().st_mtime_ns == 123456789


def test_temporary_files_are_private_beside_their_target_and_retry_taken_names(root, tmp_path, monkeypatch):
    root.mkdir(b"d", 0o755)
    draws = iter([b"\1" * 8, b"\1" * 8, b"\2" * 8])
    monkeypatch.setattr(os, "urandom", lambda count: next(draws))
    made = [root.create_temp(b"d/" + b"n" * 255) for _ in range(2)]
    for (fd, path), digits in zip(made, (b"01", b"02"), strict=True):
        assert path == b"d/" + TEMP_PREFIX + digits * 8
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
        os.close(fd)
    monkeypatch.setattr(os, "urandom", lambda count: b"\1" * 8)
    with pytest.raises(FileExistsError):
        root.create_temp(b"d/x")
    with pytest.raises(FileExistsError):
        root.symlink(b"t", b"d/" + TEMP_PREFIX + b"01" * 8)


def test_a_temporary_name_taken_by_a_link_is_not_followed(root, tmp_path, monkeypatch):
    (tmp_path / "victim").write_bytes(b"precious")
    draws = iter([b"\1" * 8, b"\2" * 8])
    monkeypatch.setattr(os, "urandom", lambda count: next(draws))
    (tmp_path / os.fsdecode(TEMP_PREFIX + b"01" * 8)).symlink_to("victim")
    fd, path = root.create_temp(b"x")
    os.write(fd, b"new")
    os.close(fd)
    assert path == TEMP_PREFIX + b"02" * 8
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_directories_that_may_be_searched_but_not_read_can_be_passed(root, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x")
    (tmp_path / "d" / "f").chmod(0o644)
    give_away(tmp_path, tmp_path / "d", tmp_path / "d" / "f")
    (tmp_path / "d").chmod(0o311)
    with as_nobody():
        assert content(root, b"d/f") == b"x"
        with pytest.raises(PermissionError):
            root.listdir(b"d")
    (tmp_path / "d").chmod(0o755)


def test_the_users_own_argument_may_be_a_link_but_must_be_a_directory(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/f").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    with Root.open(str(tmp_path / "link")) as root:
        assert root.listdir(b"") == [b"f"]
    with pytest.raises(NotADirectoryError):
        Root.open(str(tmp_path / "real/f"))
    with pytest.raises(FileNotFoundError):
        Root.open(str(tmp_path / "missing"))


def test_remove_tree_takes_links_and_files_and_leaves_what_links_point_to(root, tmp_path):
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep/f").write_bytes(b"x")
    (tmp_path / "t/deep/er").mkdir(parents=True)
    (tmp_path / "t/deep/link").symlink_to("../../keep")
    (tmp_path / "t/deep/er/f").write_bytes(b"x")
    os.mkfifo(tmp_path / "t/fifo")
    root.remove_tree(b"t")
    root.remove_tree(b"missing")
    root.remove_tree(b"keep/f")
    assert sorted(root.listdir(b"")) == [b"keep"]
    assert root.listdir(b"keep") == []


def test_syncing_a_directory_needs_no_name_of_it(root):
    root.mkdir(b"d", 0o755)
    root.fsync_dir(b"d")
    root.fsync_dir(b"d/not-yet-there")
    with pytest.raises(FileNotFoundError):
        root.fsync_dir(b"missing/x")
