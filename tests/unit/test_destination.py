"""What a destination argument means, and how directories, links and room for files are made below it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from parasync.errors import FileError, ProtocolError, SelectionError
from parasync.model import Entry, Kind
from parasync.tree.destination import TreeWriter, find_basis, open_destination
from parasync.tree.safepath import Root
from support import write_small
from unprivileged import as_nobody, give_away

MTIME = 1_500_000_000_000_000_007


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: dir/, file, to-dir -> dir, to-file -> file, dangling -> nowhere."""
    place = tmp_path / "place"
    (place / "dir").mkdir(parents=True)
    (place / "file").write_bytes(b"old")
    (place / "to-dir").symlink_to("dir")
    (place / "to-file").symlink_to("file")
    (place / "dangling").symlink_to("nowhere")
    monkeypatch.chdir(place)
    return place


@pytest.fixture(params=["local", "module"])
def base(request, place):
    if request.param == "local":
        yield None
    else:
        with Root.open(".") as opened:
            yield opened


def where(root: Root | None) -> str:
    return os.path.relpath(os.readlink(f"/proc/self/fd/{root.directory(b'').fd}"))


def opened(argument: str, base: Root | None, kind: str, dry_run: bool = False) -> tuple[str | None, bytes | None]:
    destination = open_destination(os.fsencode(argument), base, kind == "file", kind == "many", dry_run)
    if destination.root is None:
        return None, destination.rename
    with destination.root:
        return where(destination.root), destination.rename


# -- what a destination argument means ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "tree", "many"])
@pytest.mark.parametrize("argument", ["dir", "dir/", "dir/.", "./dir", "dir//"])
def test_an_existing_directory_takes_everything(base, argument, kind):
    assert opened(argument, base, kind) == ("dir", None)


def test_nothing_means_the_working_directory_or_the_module(base):
    assert opened("", base, "tree") == (".", None)
    assert opened(".", base, "file") == (".", None)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("argument", "result"), [("new", (".", b"new")), ("dir/new", ("dir", b"new")), ("file", (".", b"file"))]
)
def test_one_file_takes_the_name_it_is_given(base, place, argument, result, dry_run):
    assert opened(argument, base, "file", dry_run) == result
    assert sorted(os.listdir(place)) == ["dangling", "dir", "file", "to-dir", "to-file"]
    assert os.listdir(place / "dir") == []


@pytest.mark.parametrize(("argument", "kind"), [("new/", "file"), ("new", "tree"), ("new/", "tree"), ("new", "many")])
def test_a_directory_is_created_where_one_is_needed(base, place, argument, kind):
    assert opened(argument, base, kind, dry_run=True) == (None, None)
    assert not (place / "new").exists()
    assert opened(argument, base, kind) == ("new", None)
    assert (place / "new").is_dir()


def test_only_one_level_is_created(base, place):
    for kind in ("file", "tree", "many"):
        with pytest.raises((FileError, SelectionError), match=r"does not exist|No such file") as caught:
            opened("missing/new", base, kind)
        assert "'missing/new'" in str(caught.value)
    assert not (place / "missing").exists()


def test_a_file_is_no_directory(base, place):
    with pytest.raises(SelectionError, match="several sources"):
        opened("file", base, "many")
    for argument, kind in (("file", "tree"), ("file/", "tree"), ("file/x", "tree"), ("file/x", "file")):
        with pytest.raises(SelectionError, match="not a directory"):
            opened(argument, base, kind)
    assert (place / "file").read_bytes() == b"old"


def test_a_slash_after_a_file_asks_for_a_directory(place):
    with pytest.raises(SelectionError, match="not a directory"):
        opened("file/", None, "file")


@pytest.mark.parametrize("argument", ["n" * 300, "n" * 300 + "/", "dir/" + "n" * 300, "a\0b"])
def test_what_can_be_no_name_is_refused_with_one_line(base, argument):
    for kind in ("file", "tree"):
        with pytest.raises(SelectionError) as caught:
            opened(argument, base, kind)
        assert str(caught.value).isprintable()


def test_the_users_own_links_are_followed_to_directories_and_replaced_otherwise(place):
    assert opened("to-dir", None, "tree") == ("dir", None)
    assert opened("to-dir/new", None, "file") == ("dir", b"new")
    assert opened("to-file", None, "file") == (".", b"to-file")
    assert opened("dangling", None, "file") == (".", b"dangling")
    with pytest.raises(SelectionError):
        opened("dangling", None, "tree")
    assert os.readlink(place / "dangling") == "nowhere"


@pytest.mark.parametrize("kind", ["file", "tree", "many"])
def test_a_module_follows_no_links_and_cannot_be_left(place, kind):
    (place / "out").symlink_to("/")
    with Root.open("dir") as base:
        for argument in ("..", "../file", "new/../../file", "/.."):
            with pytest.raises(SelectionError):
                opened(argument, base, kind)
    with Root.open(".") as base:
        for argument in ("to-dir", "to-dir/", "to-dir/new", "out", "out/tmp", "to-file", "dangling"):
            with pytest.raises(SelectionError):
                opened(argument, base, kind)
        assert opened("/dir", base, kind) == ("dir", None)
    assert os.listdir(place / "dir") == []


# -- directories, links, room ------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path):
    with Root.open(str(tmp_path)) as opened:
        yield opened


@pytest.fixture
def writer(root: Root) -> TreeWriter:
    return TreeWriter(root, dry_run=False)


def directory(path: bytes, mode: int = 0o755, mtime: int = MTIME) -> Entry:
    return Entry(path, Kind.DIRECTORY, 0, mtime, mode)


def link(path: bytes, target: bytes = b"target") -> Entry:
    return Entry(path, Kind.SYMLINK, 0, MTIME, 0o777, target)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_directories_get_mode_and_time_after_their_content(root, writer, tmp_path):
    give_away(tmp_path)
    with as_nobody():
        for entry in (directory(b"", 0o755), directory(b"a", 0o555), directory(b"a/b", 0o000)):
            writer.prepare_directory(entry)
        write_small(root, b"a/b/f", b"x", Entry(b"a/b/f", Kind.FILE, 1, MTIME, 0o644), False)
        assert writer.finish_directories() == []
    assert (permissions(tmp_path / "a"), permissions(tmp_path / "a/b")) == (0o555, 0)
    assert {path.lstat().st_mtime_ns for path in (tmp_path, tmp_path / "a", tmp_path / "a/b")} == {MTIME}
    for name in ("a", "a/b"):
        (tmp_path / name).chmod(0o755)
    assert (tmp_path / "a/b/f").read_bytes() == b"x"


def test_an_existing_directory_that_its_owner_cannot_use_is_opened_for_the_time_being(writer, tmp_path):
    (tmp_path / "d").mkdir()
    give_away(tmp_path, tmp_path / "d")
    (tmp_path / "d").chmod(0o055)
    with as_nobody():
        assert writer.prepare_directory(directory(b"d", 0o050)) is False
        assert stat.S_IMODE(writer.lstat(b"d").st_mode) == 0o755
        assert writer.prepare_directory(directory(b"d/new")) is True
        assert writer.finish_directories() == []
    assert permissions(tmp_path / "d") == 0o050
    (tmp_path / "d").chmod(0o755)


def test_a_directory_under_way_is_no_more_open_than_in_the_end(writer, tmp_path):
    before = os.umask(0)
    try:
        writer.prepare_directory(directory(b"private", 0o700))
    finally:
        os.umask(before)
    assert permissions(tmp_path / "private") == 0o700


@pytest.mark.parametrize("obstacle", ["file", "link", "link-to-directory", "fifo"])
def test_a_directory_replaces_what_is_none(writer, tmp_path, obstacle):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/f").write_bytes(b"x")
    path = tmp_path / "d"
    if obstacle == "file":
        path.write_bytes(b"x")
    elif obstacle == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("elsewhere" if obstacle == "link-to-directory" else "missing")
    assert writer.prepare_directory(directory(b"d"))
    assert path.is_dir()
    assert not path.is_symlink()
    assert os.listdir(path) == []
    assert os.listdir(tmp_path / "elsewhere") == ["f"]


def test_a_directory_that_was_replaced_meanwhile_fails_alone(writer, tmp_path):
    for path in (b"a", b"b", b"c"):
        writer.prepare_directory(directory(path, 0o700))
    (tmp_path / "a").rmdir()
    (tmp_path / "b").rmdir()
    (tmp_path / "b").symlink_to("c")
    failures = writer.finish_directories()
    assert sorted(failure.path for failure in failures) == [b"a", b"b"]
    assert (tmp_path / "c").stat().st_mtime_ns == MTIME
    assert writer.finish_directories() == []


def test_finishing_with_fsync(writer, tmp_path):
    writer.prepare_directory(directory(b"a", 0o300))
    writer.prepare_directory(directory(b"a/b"))
    assert writer.finish_directories(fsync=True) == []
    assert permissions(tmp_path / "a") == 0o300


def test_links_are_made_kept_and_replaced(writer, tmp_path):
    assert writer.make_symlink(link(b"l")) is True
    first = (tmp_path / "l").lstat()
    assert (os.readlink(tmp_path / "l"), first.st_mtime_ns) == ("target", MTIME)
    assert writer.make_symlink(link(b"l")) is False
    assert (tmp_path / "l").lstat().st_ctime_ns == first.st_ctime_ns
    os.utime(tmp_path / "l", ns=(0, 0), follow_symlinks=False)
    assert writer.make_symlink(link(b"l")) is False
    assert (tmp_path / "l").lstat().st_mtime_ns == MTIME
    assert writer.make_symlink(link(b"l", b"other\xff")) is True
    assert os.readlink(os.fsencode(tmp_path / "l")) == b"other\xff"
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    assert writer.make_symlink(link(b"f")) is True
    assert writer.make_symlink(link(b"empty")) is True
    assert (os.readlink(tmp_path / "f"), os.readlink(tmp_path / "empty")) == ("target", "target")


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_directory_with_content_is_never_removed(tmp_path, dry_run):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/precious").write_bytes(b"x")
    with Root.open(str(tmp_path)) as root:
        writer = TreeWriter(root, dry_run)
        with pytest.raises(FileError, match=r"'d'.*move it away"):
            writer.clear_way(b"d", Kind.FILE)
        with pytest.raises(FileError, match="'d'"):
            writer.make_symlink(link(b"d"))
        writer.clear_way(b"d", Kind.DIRECTORY)
    assert (tmp_path / "d/precious").read_bytes() == b"x"


def test_room_for_a_file(writer, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("x")
    (tmp_path / "file").write_bytes(b"old")
    for path in (b"empty", b"link", b"file", b"missing"):
        writer.clear_way(path, Kind.FILE)
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_a_dry_run_changes_nothing_and_says_what_it_would(tmp_path):
    (tmp_path / "d").mkdir(mode=0o500)
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "l").symlink_to("target")
    os.utime(tmp_path, ns=(0, MTIME))
    before = {path: path.lstat() for path in (tmp_path, *tmp_path.iterdir())}
    with Root.open(str(tmp_path)) as root:
        writer = TreeWriter(root, dry_run=True)
        assert [writer.prepare_directory(directory(path)) for path in (b"d", b"f", b"new", b"new/x")] == [
            False,
            True,
            True,
            True,
        ]
        assert [writer.make_symlink(link(path)) for path in (b"d", b"f", b"l", b"new/l")] == [True, True, False, True]
        writer.clear_way(b"d", Kind.FILE)
        writer.clear_way(b"f", Kind.DIRECTORY)
        assert writer.finish_directories() == []
    for path, status in before.items():
        after = path.lstat()
        assert (after.st_ctime_ns, after.st_mtime_ns, after.st_mode) == (
            status.st_ctime_ns,
            status.st_mtime_ns,
            status.st_mode,
        )


def test_a_dry_run_without_a_root_finds_nothing():
    writer = TreeWriter(None, dry_run=True)
    assert writer.lstat(b"x") is None
    assert writer.prepare_directory(directory(b"d")) is True
    assert writer.make_symlink(link(b"l")) is True
    writer.clear_way(b"x", Kind.FILE)
    assert writer.finish_directories() == []


def test_paths_that_are_no_paths_are_refused(writer):
    for path in (b"..", b"/x", b"a/../../b"):
        with pytest.raises(ProtocolError):
            writer.prepare_directory(directory(path))
        with pytest.raises(ProtocolError):
            writer.make_symlink(link(path))
        with pytest.raises(ProtocolError):
            writer.clear_way(path, Kind.FILE)


@pytest.mark.parametrize(
    ("argument", "source", "found"),
    [
        (b"dir", b"a/name", b"dir/name"),
        (b"dir/", b"name", b"dir/name"),
        (b"to-dir", b"name", b"to-dir/name"),
        (b"", b"name", b"./name"),
        (b"file", b"a/name", b"./file"),
        (b"dir/other/name", b"x", None),
        (b"absent", b"name", None),
        (b"dir", b"a/", None),
        (b"dir", b"..", None),
        (b"dir", b"", None),
    ],
)
def test_what_a_file_would_replace(place: Path, argument: bytes, source: bytes, found: bytes | None) -> None:
    basis = find_basis(argument, source)
    if found is None:
        assert basis is None
        return
    assert basis is not None
    directory, name = basis
    with directory:
        head, _, tail = found.rpartition(b"/")
        assert name == tail
        assert os.path.samestat(os.stat(head), os.fstat(directory.directory(b"").fd))
