"""Kinds, modes and times: read from the file system and given back to it."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parasync.errors import FileError
from parasync.model import Entry, Kind
from parasync.tree.metadata import apply_metadata, entry_of, kind_of, unchanged
from parasync.tree.safepath import Root


@pytest.fixture
def root(tmp_path: Path):
    with Root.open(str(tmp_path)) as opened:
        yield opened


def entry(path: bytes, kind: Kind = Kind.FILE, mtime: int = 10**18, mode: int = 0o640, size: int = 3) -> Entry:
    return Entry(path, kind, size if kind is Kind.FILE else 0, mtime, mode)


def test_unchanged_means_a_regular_file_of_the_same_size_and_time(tmp_path):
    file = tmp_path / "f"
    file.write_bytes(b"abc")
    os.utime(file, ns=(0, 10**18))
    (tmp_path / "link").symlink_to("f")
    os.utime(tmp_path / "link", ns=(0, 10**18), follow_symlinks=False)
    assert unchanged(entry(b"f"), file.lstat())
    assert not unchanged(entry(b"f", mtime=10**18 + 1), file.lstat())
    assert not unchanged(entry(b"f", size=4), file.lstat())
    assert not unchanged(entry(b"link", size=1), (tmp_path / "link").lstat())


def test_entries_are_made_of_the_three_kinds_only(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    (tmp_path / "l").symlink_to("target")
    os.mkfifo(tmp_path / "p")
    assert entry_of(b"x/f", (tmp_path / "f").lstat()).size == 3
    directory = entry_of(b"", tmp_path.lstat())
    assert (directory.kind, directory.size) == (Kind.DIRECTORY, 0)
    link = entry_of(b"l", (tmp_path / "l").lstat(), b"target")
    assert (link.kind, link.size, link.link) == (Kind.SYMLINK, 0, b"target")
    assert kind_of((tmp_path / "p").lstat()) is None
    with pytest.raises(ValueError, match="file type"):
        entry_of(b"p", (tmp_path / "p").lstat())


@settings(max_examples=60, deadline=None)
@given(
    mode=st.integers(0, 0o7777),
    mtime=st.integers(-(2**31 - 1) * 10**9, 2**33 * 10**9),
    kind=st.sampled_from([Kind.FILE, Kind.DIRECTORY]),
)
def test_any_mode_and_time_can_be_given_and_read_back(mode, mtime, kind):
    with tempfile.TemporaryDirectory() as directory, Root.open(directory) as root:
        path = Path(directory) / "x"
        path.mkdir() if kind is Kind.DIRECTORY else path.write_bytes(b"abc")
        wanted = entry(b"x", kind, mtime, mode)
        apply_metadata(root, b"x", wanted)
        assert entry_of(b"x", root.lstat(b"x")) == wanted
        assert not apply_metadata(root, b"x", wanted)
        path.chmod(0o700)


def test_nothing_is_touched_where_nothing_differs(root, tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert apply_metadata(root, b"f", entry(b"f"))
    before = (tmp_path / "f").stat()
    assert not apply_metadata(root, b"f", entry(b"f"))
    assert not apply_metadata(root, b"f", entry(b"f"), before)
    assert (tmp_path / "f").stat().st_ctime_ns == before.st_ctime_ns


def test_bits_beyond_permissions_are_ignored(root, tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    apply_metadata(root, b"f", entry(b"f", mode=stat.S_IFDIR | 0o600))
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


def test_a_link_gets_its_own_time_and_its_target_nothing(root, tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    (tmp_path / "l").symlink_to("f")
    before = (tmp_path / "f").stat()
    assert apply_metadata(root, b"l", entry(b"l", Kind.SYMLINK, mode=0o600))
    after = (tmp_path / "f").stat()
    assert (tmp_path / "l").lstat().st_mtime_ns == 10**18
    assert (after.st_mtime_ns, after.st_mode, after.st_ctime_ns) == (
        before.st_mtime_ns,
        before.st_mode,
        before.st_ctime_ns,
    )


@pytest.mark.parametrize("kind", list(Kind))
def test_what_became_something_else_is_left_alone(root, tmp_path, kind):
    if kind is Kind.DIRECTORY:
        (tmp_path / "x").write_bytes(b"")
    else:
        (tmp_path / "x").mkdir()
    before = (tmp_path / "x").stat()
    with pytest.raises(FileError, match="'x'"):
        apply_metadata(root, b"x", entry(b"x", kind))
    with pytest.raises(FileError):
        apply_metadata(root, b"missing", entry(b"missing", kind))
    assert (tmp_path / "x").stat().st_ctime_ns == before.st_ctime_ns
