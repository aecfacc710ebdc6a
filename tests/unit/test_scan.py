"""What a source argument means, and what a scan yields."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parasync.config import MAX_DEPTH
from parasync.errors import PartialTransferError, SelectionError, UsageError
from parasync.model import Entry, Failure, Kind
from parasync.tree.safepath import HELD_DIRECTORIES, Root
from parasync.tree.scan import SKIPPED, Source, is_single_file, open_source, scan
from unprivileged import as_nobody, give_away


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """d/ with a file, a link, an empty directory and a nested one."""
    top = tmp_path / "d"
    (top / "sub/empty").mkdir(parents=True)
    (top / "file").write_bytes(b"12345")
    (top / "sub/z").write_bytes(b"")
    (top / "sub.txt").write_bytes(b"x")
    (top / "link").symlink_to("file")
    return top


def scanned(argument: str | bytes, base: Root | None = None) -> list[Entry | Failure]:
    source = open_source(os.fsencode(argument), base)
    with source.root:
        return list(scan(source))


def paths(found: list[Entry | Failure]) -> list[bytes]:
    return [item.path for item in found]


CONTENT = [b"", b"file", b"link", b"sub", b"sub/empty", b"sub/z", b"sub.txt"]
UNDER_NAME = [b"d", *(b"d/" + path for path in CONTENT[1:])]


# -- what a source argument means --------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["/", "/.", "//", "/./", "/sub/.."])
def test_a_slash_means_the_content(tree, suffix):
    assert paths(scanned(f"{tree}{suffix}")) == CONTENT


def test_no_slash_means_the_directory_itself(tree):
    assert paths(scanned(str(tree))) == UNDER_NAME


def test_relative_arguments(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert paths(scanned(".")) == CONTENT
    assert paths(scanned("./")) == CONTENT
    assert paths(scanned("sub")) == [b"sub", b"sub/empty", b"sub/z"]
    assert paths(scanned("./file")) == [b"file"]
    monkeypatch.chdir(tree / "sub")
    assert paths(scanned("..")) == CONTENT


def test_a_file_and_a_link_stand_for_themselves(tree, tmp_path):
    assert paths(scanned(str(tree / "file"))) == [b"file"]
    (tmp_path / "to-dir").symlink_to("d")
    (found,) = scanned(str(tmp_path / "to-dir"))
    assert (found.kind, found.link) == (Kind.SYMLINK, b"d")
    assert paths(scanned(f"{tmp_path}/to-dir/")) == CONTENT
    assert paths(scanned(f"{tmp_path}/to-dir/sub/")) == [b"", b"empty", b"z"]


@pytest.mark.parametrize(
    "argument", ["missing", "missing/", "d/file/", "d/file/x", "d/missing/x", "n" * 300, "d/" + "n" * 300]
)
def test_a_missing_source_is_one_clear_line(tree, monkeypatch, argument):
    monkeypatch.chdir(tree.parent)
    with pytest.raises(PartialTransferError) as caught:
        open_source(argument.encode(), None)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("argument", [b"", b"a\0b"])
def test_what_can_be_no_path_is_a_mistake_of_the_user(argument):
    with pytest.raises(UsageError):
        open_source(argument, None)


@pytest.mark.parametrize("argument", ["", "/", ".", "./", "//"])
def test_a_module_is_its_content(tree, argument):
    with Root.open(str(tree)) as base:
        assert paths(scanned(argument, base)) == CONTENT


@pytest.mark.parametrize("argument", ["d", "/d", "./d", "//d"])
def test_a_directory_in_a_module_keeps_its_name(tree, argument):
    with Root.open(str(tree.parent)) as base:
        assert paths(scanned(argument, base)) == UNDER_NAME
        assert paths(scanned(f"{argument}/", base)) == CONTENT
        assert paths(scanned(f"{argument}/sub", base)) == [b"sub", b"sub/empty", b"sub/z"]


@pytest.mark.parametrize("argument", ["..", "../d", "d/..", "d/../d", "/..", "d/sub/../../.."])
def test_a_module_cannot_be_left(tree, argument):
    with Root.open(str(tree.parent)) as base, pytest.raises(SelectionError):
        open_source(argument.encode(), base)


def test_links_in_a_module_are_not_followed(tree):
    (tree / "inside").symlink_to("sub")
    (tree / "outside").symlink_to("/")
    with Root.open(str(tree)) as base:
        for argument in ("inside/", "outside/", "outside/etc", "outside/.", "inside/z"):
            with pytest.raises(PartialTransferError):
                open_source(argument.encode(), base)
        (found,) = scanned("outside", base)
        assert (found.kind, found.link) == (Kind.SYMLINK, b"/")


def test_single_file(tree):
    def single(*arguments: str) -> bool:
        return is_single_file([open_source(os.fsencode(argument), None) for argument in arguments])

    assert single(f"{tree}/file")
    assert single(f"{tree}/link")
    assert not single(f"{tree}/sub")
    assert not single(f"{tree}/")
    assert not single(f"{tree}/file", f"{tree}/link")
    assert not single()


# -- what a scan yields ------------------------------------------------------------------------------


def test_entries_say_what_lstat_says(tree):
    (tree / "file").chmod(0o4751)
    os.utime(tree / "file", ns=(0, 1_234_567_890_123_456_789))
    os.utime(tree / "sub.txt", ns=(0, -1_500_000_000))
    by_path = {entry.path: entry for entry in scanned(f"{tree}/")}
    assert by_path[b"file"] == Entry(b"file", Kind.FILE, 5, 1_234_567_890_123_456_789, 0o4751)
    assert by_path[b"sub.txt"].mtime == -1_500_000_000
    for path, entry in by_path.items():
        status = (tree / os.fsdecode(path)).lstat()
        assert (entry.mode, entry.mtime) == (stat.S_IMODE(status.st_mode), status.st_mtime_ns)
        assert entry.size == (status.st_size if entry.kind is Kind.FILE else 0)
    assert by_path[b"link"].link == b"file"
    assert by_path[b""].kind is Kind.DIRECTORY


names = st.binary(min_size=1, max_size=12).map(lambda raw: raw.translate(bytes.maketrans(b"/\0", b"__")))
names = names.filter(lambda name: name not in {b".", b".."})
trees = st.recursive(st.none(), lambda child: st.dictionaries(names, child, max_size=5), max_leaves=25)


def build(directory: bytes, tree: dict) -> None:
    for name, child in tree.items():
        path = directory + b"/" + name
        if child is None:
            with open(path, "wb"):
                pass
        else:
            os.mkdir(path)
            build(path, child)


def expected(tree: dict, prefix: bytes) -> Iterator[bytes]:
    for name in sorted(tree):
        yield prefix + name
        if tree[name] is not None:
            yield from expected(tree[name], prefix + name + b"/")


@settings(max_examples=80, deadline=None)
@given(trees.filter(lambda tree: tree is not None))
def test_any_tree_comes_parents_first_in_the_order_of_bytes(tree):
    with tempfile.TemporaryDirectory() as directory:
        build(os.fsencode(directory), tree)
        assert paths(scanned(directory + "/")) == [b"", *expected(tree, b"")]


def test_unfinished_files_are_left_out_and_names_like_them_are_not(tree):
    (tree / ".parasync.0123456789abcdef").write_bytes(b"half")
    (tree / ".parasync.rc").write_bytes(b"mine")
    assert paths(scanned(f"{tree}/")) == [b"", b".parasync.rc", *CONTENT[1:]]


def test_what_is_no_file_is_named_and_skipped(tree):
    os.mkfifo(tree / "fifo\x1b")
    found = scanned(f"{tree}/")
    (skipped,) = [item for item in found if isinstance(item, Failure)]
    assert (skipped.path, skipped.code) == (b"fifo\x1b", SKIPPED)
    assert skipped.message.isprintable()
    assert len(found) == len(CONTENT) + 1
    (only,) = scanned(str(tree / "fifo\x1b"))
    assert only.code == SKIPPED


def test_an_unreadable_directory_fails_alone(tree):
    give_away(*tree.rglob("*"), tree)
    (tree / "sub").chmod(0o311)
    source = open_source(os.fsencode(f"{tree}/"), None)
    with as_nobody():
        found = list(scan(source))
    (tree / "sub").chmod(0o755)
    assert paths(found) == [b"", b"file", b"link", b"sub", b"sub", b"sub.txt"]
    assert isinstance(found[3], Entry)
    assert isinstance(found[4], Failure)
    assert found[4].code == "partial"
    assert "Permission denied" in found[4].message
    assert "'sub'" in found[4].message


def test_a_directory_that_cannot_be_searched_fails_name_by_name(tree):
    give_away(*tree.rglob("*"), tree)
    (tree / "sub").chmod(0o444)
    source = open_source(os.fsencode(f"{tree}/"), None)
    with as_nobody():
        failures = [item for item in scan(source) if isinstance(item, Failure)]
    (tree / "sub").chmod(0o755)
    assert failures
    assert {failure.code for failure in failures} == {"partial"}


def until(stream: Iterator[Entry | Failure], path: bytes) -> list[bytes]:
    seen = []
    for item in stream:
        seen.append(item.path)
        if item.path == path:
            return seen
    raise AssertionError(path)


def test_what_vanishes_after_listing_is_reported_as_vanished(tree):
    stream = scan(open_source(os.fsencode(f"{tree}/"), None))
    until(stream, b"file")
    (tree / "link").unlink()
    (tree / "sub.txt").unlink()
    rest = list(stream)
    assert paths(rest) == [b"link", b"sub", b"sub/empty", b"sub/z", b"sub.txt"]
    assert [item.code for item in rest if isinstance(item, Failure)] == ["vanished", "vanished"]


def test_a_directory_that_becomes_something_else_is_reported_as_vanished(tree):
    for replace in (lambda path: path.symlink_to("/"), lambda path: path.write_bytes(b""), lambda path: None):
        stream = scan(open_source(os.fsencode(f"{tree}/"), None))
        until(stream, b"sub")
        (tree / "sub").rename(tree.parent / "away")
        replace(tree / "sub")
        rest = list(stream)
        assert [(item.path, getattr(item, "code", None)) for item in rest] == [(b"sub", "vanished"), (b"sub.txt", None)]
        (tree / "sub").unlink(missing_ok=True)
        (tree.parent / "away").rename(tree / "sub")


def test_a_source_that_vanishes_before_the_scan_is_reported(tree):
    source = open_source(os.fsencode(tree / "file"), None)
    (tree / "file").unlink()
    (only,) = scan(source)
    assert (only.path, only.code) == (b"file", "vanished")


def test_a_link_that_becomes_a_file_between_two_calls_is_reported(tree, monkeypatch):
    def readlink(*args: object, **kwargs: object) -> bytes:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "readlink", readlink)
    failures = [item for item in scanned(f"{tree}/") if isinstance(item, Failure)]
    assert [(failure.path, failure.code) for failure in failures] == [(b"link", "vanished")]


def test_every_path_is_looked_at_once(tree, monkeypatch):
    looks: list[object] = []
    real = os.stat

    def counted(path: object, **kwargs: object) -> os.stat_result:
        looks.append(path)
        return real(path, **kwargs)

    source = open_source(os.fsencode(f"{tree}/"), None)
    monkeypatch.setattr(os, "stat", counted)
    found = list(scan(source))
    monkeypatch.undo()
    assert sorted(looks) == sorted(item.path.rpartition(b"/")[2] or b"." for item in found)


def chain(top: Path, depth: int) -> None:
    """Directories one in another, made without long paths."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_a_deep_tree_needs_few_descriptors_and_ends_at_the_limit_with_a_clear_line(tmp_path):
    chain(tmp_path, MAX_DEPTH + 5)
    (tmp_path / "z").write_bytes(b"")
    before = most = len(os.listdir("/proc/self/fd"))
    found = []
    with Root.open(str(tmp_path)) as root:
        for item in scan(Source(root, b"", b"")):
            found.append(item)
            if len(found) % 100 == 0:
                most = max(most, len(os.listdir("/proc/self/fd")))
    # Too deep for the clean-up of the test runner.
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)
    assert most <= before + HELD_DIRECTORIES + 2
    assert [isinstance(item, Failure) for item in found].count(True) == 1
    (failure,) = [item for item in found if isinstance(item, Failure)]
    assert failure.code == "partial"
    assert "1025 components" in failure.message
    assert failure.path == b"/".join([b"d"] * MAX_DEPTH)
    assert found[-1].path == b"z"
    assert len(found) == 1 + MAX_DEPTH + 1 + 1


def test_paths_that_are_too_long_fail_alone(tmp_path):
    name = "n" * 250
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(17):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (tmp_path / "z").write_bytes(b"")
    found = scanned(f"{tmp_path}/")
    (failure,) = [item for item in found if isinstance(item, Failure)]
    assert failure.path == "/".join([name] * 16).encode()
    assert "4096" in failure.message
    assert found[-1].path == b"z"


def test_a_scan_that_is_given_up_leaves_nothing_open(tree):
    before = len(os.listdir("/proc/self/fd"))
    source = open_source(os.fsencode(f"{tree}/"), None)
    stream = scan(source)
    until(stream, b"sub/empty")
    stream.close()
    source.root.close()
    assert len(os.listdir("/proc/self/fd")) == before
