"""Nothing outside a root is ever read, listed or changed: hostile names, planted links, links swapped in while running.

What is outside is compared with a snapshot of names, content, mode and times (change time included,
so that even a change that was undone shows).
"""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parasync.errors import ParaSyncError, ProtocolError
from parasync.model import Entry, Kind
from parasync.tree.commit import PendingFile
from parasync.tree.destination import TreeWriter, open_destination
from parasync.tree.metadata import apply_metadata
from parasync.tree.safepath import Root
from parasync.tree.scan import Source, open_source, scan
from support import write_small

SECRET = b"not for the peer"
REFUSALS = (OSError, ParaSyncError)


class World:
    """A root with content, and beside it what must stay as it is: a file, a directory with a file."""

    def __init__(self, place: Path) -> None:
        self.inside = place / "root"
        self.outside = place / "outside"
        (self.inside / "a/b").mkdir(parents=True)
        (self.inside / "a/file").write_bytes(b"inside")
        (self.outside / "dir").mkdir(parents=True)
        (self.outside / "file").write_bytes(SECRET)
        (self.outside / "dir/file").write_bytes(SECRET)
        self.before = self.snapshot()

    def snapshot(self) -> dict[str, tuple[object, ...]]:
        found = {}
        for path in (self.outside, *self.outside.rglob("*")):
            status = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found[str(path)] = (
                status.st_ino,
                status.st_mode,
                status.st_nlink,
                status.st_mtime_ns,
                status.st_ctime_ns,
                content,
            )
        return found

    def check(self) -> None:
        assert self.snapshot() == self.before


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.check()


def file_entry(path: bytes) -> Entry:
    return Entry(path, Kind.FILE, 3, 1, 0o777)


def small(root: Root, path: bytes) -> None:
    write_small(root, path, b"new", file_entry(path), False)


def pending(root: Root, path: bytes) -> None:
    new = PendingFile.create(root, path, 3)
    try:
        new.commit(file_entry(path), True)
    finally:
        new.discard()


def temp(root: Root, path: bytes) -> None:
    fd, name = root.create_temp(path)
    os.close(fd)
    root.unlink(name)


def directories(root: Root, path: bytes) -> None:
    writer = TreeWriter(root, dry_run=False)
    writer.prepare_directory(Entry(path, Kind.DIRECTORY, 0, 1, 0o777))
    writer.finish_directories(fsync=True)


def symlinks(root: Root, path: bytes) -> None:
    TreeWriter(root, dry_run=False).make_symlink(Entry(path, Kind.SYMLINK, 0, 1, 0o777, b"target"))


def metadata(root: Root, path: bytes) -> None:
    for kind in Kind:
        with suppress(*REFUSALS):
            apply_metadata(root, path, Entry(path, kind, 0, 1, 0o777, b"target"))


def destination(root: Root, path: bytes) -> None:
    for single in (False, True):
        with suppress(ParaSyncError):
            found = open_destination(path, root, single, False, dry_run=False)
            if found.root is not None:
                small(found.root, found.rename or b"new")


def harmless(data: object) -> None:
    assert data != SECRET


def read(root: Root, path: bytes) -> None:
    with open(root.open_read(path), "rb") as file:
        harmless(file.read())


def scan_at(root: Root, path: bytes) -> None:
    for item in scan(Source(root, path, path)):
        assert not isinstance(item, Entry) or item.kind is not Kind.FILE or item.size != len(SECRET), item


def scan_below(root: Root, path: bytes) -> None:
    scan_at(root.subroot(path), b"")


def open_and_scan(root: Root, path: bytes) -> None:
    for argument in (path, path + b"/"):
        with suppress(ParaSyncError):
            source = open_source(argument, root)
            scan_at(source.root, source.name)


def look(root: Root, path: bytes) -> None:
    status = root.lstat(path)
    assert status is None or status.st_size != len(SECRET)


CHANGING: list[Callable[[Root, bytes], object]] = [
    small, pending, temp, directories, symlinks, metadata, destination,
    lambda root, path: root.mkdir(path, 0o777),
    lambda root, path: root.symlink(b"target", path),
    lambda root, path: root.chmod(path, 0o777),
    lambda root, path: root.utime(path, 1),
    lambda root, path: root.unlink(path),
    lambda root, path: root.rmdir(path),
    lambda root, path: root.remove_tree(path),
    lambda root, path: root.rename(path, b"renamed"),
    lambda root, path: root.rename(b"a/file", path),
    lambda root, path: TreeWriter(root, dry_run=False).clear_way(path, Kind.FILE),
    lambda root, path: TreeWriter(root, dry_run=False).clear_way(path, Kind.DIRECTORY),
]  # fmt: skip
LOOKING: list[Callable[[Root, bytes], object]] = [
    look, read, scan_at, scan_below, open_and_scan,
    lambda root, path: harmless(root.readlink(path)),
    lambda root, path: root.listdir(path),
    lambda root, path: root.fsync_dir(path),
    lambda root, path: root.subroot(path),
]  # fmt: skip


# -- planted links -----------------------------------------------------------------------------------


def plant(world: World, link: str) -> None:
    """`link` leads to the directory outside, in one of many ways."""
    inside, outside = world.inside, world.outside
    {
        "absolute": lambda: (inside / "link").symlink_to(outside),
        "relative": lambda: (inside / "link").symlink_to("../outside"),
        "chained": lambda: ((inside / "hop").symlink_to(outside), (inside / "link").symlink_to("hop")),
        "parent": lambda: ((inside / "up").symlink_to(".."), (inside / "link").symlink_to("up/outside")),
        "inner": lambda: (inside / "link").symlink_to("a/../../outside"),
        "magic": lambda: (inside / "link").symlink_to(f"/proc/self/cwd{outside}"),
    }[link]()


LINKS = ["absolute", "relative", "chained", "parent", "inner", "magic"]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("path", [b"link/file", b"link/dir", b"link/dir/file", b"link/new", b"link/dir/new"])
def test_no_operation_passes_a_planted_link(world, link, path):
    plant(world, link)
    for operation in CHANGING + LOOKING:
        with Root.open(str(world.inside)) as root, suppress(*REFUSALS):
            operation(root, path)
        world.check()
        assert (world.inside / "link").is_symlink() or operation in (destination, open_and_scan)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("target", ["", "/file", "/dir"])
def test_an_operation_on_a_link_itself_reaches_nothing_behind_it(world, link, target):
    plant(world, link)
    behind = os.readlink(world.inside / "link") + target
    for operation in CHANGING + LOOKING:
        (world.inside / "victim").symlink_to(behind)
        with Root.open(str(world.inside)) as root:
            with suppress(*REFUSALS):
                operation(root, b"victim")
            world.check()
            root.remove_tree(b"victim")
            with suppress(FileNotFoundError):
                root.unlink(b"renamed")
            small(root, b"a/file")


@pytest.mark.parametrize(
    "path", [b"../outside/file", b"a/../../outside/file", b"..", b"a/..", b"/tmp", b"a//../x", b"a\0/../x"]
)
def test_names_that_climb_are_refused_by_every_operation(world, path):
    absolute = os.fsencode(world.outside / "file")
    for operation in CHANGING + LOOKING:
        if operation in (metadata, destination, open_and_scan):
            continue
        for hostile in (path, absolute):
            with Root.open(str(world.inside)) as root, pytest.raises(ProtocolError):
                operation(root, hostile)
    for operation in (metadata, destination, open_and_scan):
        with Root.open(str(world.inside)) as root, suppress(*REFUSALS):
            operation(root, path)


def test_a_link_may_point_anywhere_but_is_data(world):
    with Root.open(str(world.inside)) as root:
        root.symlink(os.fsencode(world.outside), b"link")
        assert root.readlink(b"link") == os.fsencode(world.outside)
        with pytest.raises(OSError):
            small(root, b"link/new")


# -- any sequence of operations ----------------------------------------------------------------------

parts = st.sampled_from([b"a", b"b", b"file", b"link", b"dir", b"..", b".", b"", b"outside"])
hostile_paths = st.lists(parts, min_size=1, max_size=4).map(b"/".join)
targets = st.sampled_from(
    [b"..", b"../outside", b"../outside/dir", b"../outside/file", b"/", b".", b"a", b"link", b"../.."]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), hostile_paths, hostile_paths, targets), max_size=25))
def test_no_sequence_of_operations_leaves_the_root(steps):
    with tempfile.TemporaryDirectory() as place:
        world = World(Path(place))
        with Root.open(str(world.inside)) as root:
            for number, path, other, target in steps:
                with suppress(*REFUSALS):
                    if number < 30:
                        root.symlink(target, path)
                    elif number < 45:
                        root.rename(path, other)
                    else:
                        operations = CHANGING + LOOKING
                        operations[number % len(operations)](root, path)
        world.check()


# -- links swapped in while running ------------------------------------------------------------------

ROUNDS = 150


@contextmanager
def swapping(path: Path, target: Path) -> Iterator[None]:
    """`path` is by turns what it was and a link to `target`, as fast as another thread can make it."""
    aside = path.with_name("aside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            with suppress(OSError):
                path.rename(aside)
            with suppress(OSError):
                path.symlink_to(target)
            with suppress(OSError):
                path.unlink()
            with suppress(OSError):
                aside.rename(path)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_race_is_real(world):
    """The same swap does mislead a check followed by an ordinary open."""
    misled = 0
    victim = world.inside / "a"
    with swapping(victim, world.outside):
        for _ in range(200_000):
            with suppress(OSError):
                if not victim.is_symlink() and (victim / "file").read_bytes() == SECRET:
                    misled += 1
            if misled:
                break
    assert misled


def refill(directory: int) -> None:
    """Put back the file that an operation may have removed, without following anything."""
    with suppress(FileExistsError):
        file = os.open("file", os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=directory)
        os.write(file, b"inside")
        os.close(file)


@pytest.mark.parametrize("operation", range(len(CHANGING + LOOKING)))
def test_no_operation_follows_a_parent_that_becomes_a_link(world, operation):
    run = (CHANGING + LOOKING)[operation]
    directory = os.open(world.inside / "a", os.O_RDONLY)
    with swapping(world.inside / "a", world.outside):
        for number in range(ROUNDS):
            path = (b"a/file", b"a/new", b"a/dir/file", b"a/dir")[number % 4]
            with Root.open(str(world.inside)) as root, suppress(*REFUSALS):
                run(root, path)
                run(root, path)
            refill(directory)
    os.close(directory)
    world.check()


@pytest.mark.parametrize("operation", range(len(CHANGING + LOOKING)))
def test_no_operation_follows_a_name_that_becomes_a_link(world, operation):
    run = (CHANGING + LOOKING)[operation]
    directory = os.open(world.inside / "a", os.O_RDONLY)
    with swapping(world.inside / "a/file", world.outside / "file"):
        for _ in range(ROUNDS):
            with Root.open(str(world.inside)) as root, suppress(*REFUSALS):
                run(root, b"a/file")
            refill(directory)
    os.close(directory)
    world.check()


def test_no_scan_enters_a_directory_that_becomes_a_link(world):
    with swapping(world.inside / "a", world.outside):
        for _ in range(ROUNDS):
            with Root.open(str(world.inside)) as root:
                for item in scan(Source(root, b"", b"")):
                    assert item.path not in {b"a/dir", b"a/dir/file"}
                    assert not isinstance(item, Entry) or item.size != len(SECRET)


# -- a directory that somebody else takes along ------------------------------------------------------


def test_a_directory_moved_out_is_the_end_of_the_way_and_no_bridge(world):
    """A held directory goes on being used where it is; nothing above or beside it can be reached from there."""
    with Root.open(str(world.inside)) as root:
        small(root, b"a/b/file")
        refuge = world.inside.parent / "refuge"
        (world.inside / "a").rename(refuge)
        small(root, b"a/b/new")
        assert sorted(os.listdir(refuge / "b")) == ["file", "new"]
        with pytest.raises(ProtocolError):
            small(root, b"a/b/../../../outside/file")
        with pytest.raises(FileNotFoundError):
            root.subroot(b"a")
    with Root.open(str(world.inside)) as root, pytest.raises(FileNotFoundError):
        small(root, b"a/b/newer")
