"""Path operations that cannot leave their root, whatever names, `..` and symbolic links say.

A `Root` holds an open directory. Every operation walks from it component by
component, each opened relative to the one before and without following links;
the last component is then used relative to its open parent. No path is ever
resolved by the kernel as a whole, and `..` is never looked up, so there is no
moment at which a link swapped in by someone else is followed.
What is promised and what is not: docs/decisions/0005-confinement.md.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar

from parasync.config import MAX_DEPTH, MAX_NAME, MAX_PATH
from parasync.errors import ProtocolError, display

T = TypeVar("T")

HELD_DIRECTORIES = 64
"""Directories a root keeps open: more than any walk in order revisits, few enough for many sessions in one process."""

TEMP_PREFIX = b".parasync."
"""What names of unfinished files begin with; 16 hexadecimal digits follow."""

_TEMP = re.compile(re.escape(TEMP_PREFIX) + rb"[0-9a-f]{16}")
_TEMP_ATTEMPTS = 16
_REMOVE_ATTEMPTS = 8
_FORBIDDEN = frozenset((b"", b".", b".."))
_SHOWN = 200

# O_PATH asks for search permission only, as resolving an ordinary path would.
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def check_path(path: bytes) -> bytes:
    """`path` if it is a relative path as entries have it; `b""` is the root itself.

    Raises:
        ProtocolError: if it begins or ends with a slash, has an empty, `.` or `..` component, contains
            NUL, or exceeds `MAX_NAME`, `MAX_PATH` or `MAX_DEPTH`.
    """
    if not path:
        return path
    if len(path) > MAX_PATH:
        raise _refused(path, f"it has {len(path)} bytes, and {MAX_PATH} are allowed")
    parts = path.split(b"/")
    if not _FORBIDDEN.isdisjoint(parts):
        raise _refused(path, "empty, '.' and '..' components are not allowed")
    if b"\0" in path:
        raise _refused(path, "it contains a NUL byte")
    if len(parts) > MAX_DEPTH:
        raise _refused(path, f"it has {len(parts)} components, and {MAX_DEPTH} are allowed")
    if len(path) > MAX_NAME and max(map(len, parts)) > MAX_NAME:
        raise _refused(path, f"a component has {max(map(len, parts))} bytes, and {MAX_NAME} are allowed")
    return path


def _refused(path: bytes, reason: str) -> ProtocolError:
    shown = display(path[:_SHOWN]) + ("..." if len(path) > _SHOWN else "")
    return ProtocolError(f"refused path '{shown}': {reason}")


def is_temp(name: bytes) -> bool:
    """Whether `name` (one component) is that of an unfinished file of ours."""
    return name.startswith(TEMP_PREFIX) and _TEMP.fullmatch(name) is not None


class Descriptor:
    """An open file or directory, closed when its last user lets go of it.

    Shared ownership is what lets one thread drop a directory from the cache, or
    discard a file, while another still works on it: a number closed under a
    running thread could name another file by the time it is used.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Close at once; `fd` is -1 afterwards. OSError if what was written could not be stored."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        with suppress(OSError):
            self.close()


def create_temp_in(directory: Descriptor) -> tuple[int, bytes]:
    """A new file in `directory`, empty, mode 0600, under a name that was free: (fd, name)."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return _at_free_name(lambda name: os.open(name, flags, 0o600, dir_fd=directory.fd))


def sync_directory(directory: Descriptor) -> None:
    """Make renames and removals in `directory` survive a power failure."""
    opened = _reopen(directory)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def list_names(directory: Descriptor) -> list[bytes]:
    """Names in `directory`, in no order."""
    opened = _reopen(directory)
    try:
        return [os.fsencode(name) for name in os.listdir(opened)]
    finally:
        os.close(opened)


def _at_free_name(create: Callable[[bytes], T]) -> tuple[T, bytes]:
    """What `create` made under the first temporary name that was free, and that name."""
    for _ in range(_TEMP_ATTEMPTS):
        name = TEMP_PREFIX + os.urandom(8).hex().encode()
        with suppress(FileExistsError):
            return create(name), name
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), TEMP_PREFIX)


def _reopen(directory: Descriptor) -> int:
    """A descriptor of the same directory that can be listed and synced."""
    return os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory.fd)


def _open_below(name: bytes, parent: Descriptor) -> Descriptor:
    try:
        return Descriptor(os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent.fd))
    except NotADirectoryError:
        # The kernel does not tell a link from a file here; people want to know.
        if _is_link(name, parent):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from None
        raise


def _is_link(name: bytes, parent: Descriptor) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=parent.fd, follow_symlinks=False).st_mode)
    return False


class _Last(NamedTuple):
    """The directory that was used last: most paths are in the one of the path before."""

    head: bytes | None
    directory: Descriptor
    generation: int


_NOWHERE = _Last(None, Descriptor(-1), -1)


def _is_sibling(path: bytes, name: bytes) -> bool:
    """Whether `check_path` allows `path`, given that it allowed another one in the same directory."""
    return name not in _FORBIDDEN and b"\0" not in name and len(name) <= MAX_NAME and len(path) <= MAX_PATH


class Root:
    """A held directory, and operations on paths below it. Thread-safe.

    Every method takes paths as `check_path` allows them and raises ProtocolError for others,
    OSError for what the system refuses. Links in the middle of a path are never followed (ELOOP).

    Directories on the way stay open (`HELD_DIRECTORIES` of them), so a directory that somebody
    else renames is still used under its old path for a while. A root is therefore made for one
    session: from a root that lives longer, take a `subroot(b"")`.
    """

    def __init__(self, top: Descriptor) -> None:
        self._lock = threading.Lock()
        self._top: Descriptor | None = top
        self._held: OrderedDict[bytes, Descriptor] = OrderedDict()
        self._generation = 0
        self._last = _NOWHERE

    @classmethod
    def open(cls, path: str | bytes) -> Root:
        """The directory that the user named: links in `path` are followed, as in any argument."""
        return cls(Descriptor(os.open(path, _DIRECTORY)))

    def close(self) -> None:
        """Later operations raise OSError (EBADF); those that run keep what they use."""
        with self._lock:
            self._top = None
            self._last = _NOWHERE
            self._held.clear()

    def __enter__(self) -> Root:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- walking ---------------------------------------------------------------------------------

    def subroot(self, path: bytes) -> Root:
        """The directory at `path` as a root of its own, walked to afresh; independent of this one's end."""
        directory = self._first()
        if check_path(path):
            for name in path.split(b"/"):
                directory = _open_below(name, directory)
        return Root(directory)

    def directory(self, path: bytes) -> Descriptor:
        """The directory at `path`, open for use with `dir_fd` only."""
        return self._directory(check_path(path))

    def parent(self, path: bytes) -> tuple[Descriptor, bytes]:
        """The directory that holds `path`, and the name there; (the root, `.`) for the root itself."""
        head, _, name = path.rpartition(b"/")
        last = self._last
        if last.head == head and last.generation == self._generation and _is_sibling(path, name):
            return last.directory, name
        check_path(path)
        generation = self._generation
        directory = self._directory(head)
        # One tuple, so that other threads see all of it. A closed root holds nothing.
        self._last = _Last(head, directory, generation)
        if self._top is None:
            self._last = _NOWHERE
        return directory, name or b"."

    def _first(self) -> Descriptor:
        if self._top is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._top

    def _directory(self, path: bytes) -> Descriptor:
        with self._lock:
            known, directory = self._nearest(path)
            generation = self._generation
        if known == path:
            return directory
        opened: deque[tuple[bytes, Descriptor]] = deque(maxlen=HELD_DIRECTORIES)
        for name in path[len(known) :].lstrip(b"/").split(b"/"):
            directory = _open_below(name, directory)
            known = known + b"/" + name if known else name
            opened.append((known, directory))
        with self._lock:
            # A rename or removal meanwhile may have made these paths wrong; the root may be closed.
            if generation == self._generation and self._top is not None:
                self._held.update(opened)
                while len(self._held) > HELD_DIRECTORIES:
                    self._held.popitem(last=False)
        return directory

    def _nearest(self, path: bytes) -> tuple[bytes, Descriptor]:
        """The longest leading part of `path` that is held open."""
        while path:
            held = self._held.get(path)
            if held is not None:
                self._held.move_to_end(path)
                return path, held
            path = path.rpartition(b"/")[0]
        return path, self._first()

    def _forget(self, path: bytes) -> None:
        """Let go of directories at and below `path`, which are elsewhere or gone now."""
        below = path + b"/"
        with self._lock:
            self._generation += 1
            for held in [held for held in self._held if held == path or held.startswith(below)]:
                del self._held[held]

    # -- looking ---------------------------------------------------------------------------------

    def lstat(self, path: bytes) -> os.stat_result | None:
        """Status of what is at `path` itself; None if nothing is, or a parent is no directory (a link is none)."""
        try:
            directory, name = self.parent(path)
            return os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            raise

    def open_read(self, path: bytes) -> int:
        """A descriptor of the regular file at `path`. OSError for anything else; never waits for a FIFO."""
        directory, name = self.parent(path)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        fd = os.open(name, flags, dir_fd=directory.fd)
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return fd
        os.close(fd)
        reason = errno.EISDIR if stat.S_ISDIR(mode) else errno.EOPNOTSUPP
        raise OSError(reason, os.strerror(reason), path)

    def readlink(self, path: bytes) -> bytes:
        directory, name = self.parent(path)
        return os.readlink(name, dir_fd=directory.fd)

    def listdir(self, path: bytes) -> list[bytes]:
        """Names in the directory at `path`, in no order."""
        return list_names(self.directory(path))

    # -- changing --------------------------------------------------------------------------------

    def mkdir(self, path: bytes, mode: int) -> None:
        directory, name = self.parent(path)
        os.mkdir(name, mode, dir_fd=directory.fd)

    def symlink(self, target: bytes, path: bytes) -> None:
        """A link at `path`, in place of what is there unless that is a directory (EISDIR); never a gap between.

        Raises:
            ProtocolError: if `target` is empty, contains NUL or is longer than `MAX_PATH`.
        """
        if not target or b"\0" in target or len(target) > MAX_PATH:
            raise _refused(path, "its link target is empty, too long or contains a NUL byte")
        directory, name = self.parent(path)
        with suppress(FileExistsError):
            os.symlink(target, name, dir_fd=directory.fd)
            return
        _, temp = _at_free_name(lambda free: os.symlink(target, free, dir_fd=directory.fd))
        try:
            os.rename(temp, name, src_dir_fd=directory.fd, dst_dir_fd=directory.fd)
        except BaseException:
            os.unlink(temp, dir_fd=directory.fd)
            raise

    def unlink(self, path: bytes) -> None:
        directory, name = self.parent(path)
        os.unlink(name, dir_fd=directory.fd)

    def rmdir(self, path: bytes) -> None:
        directory, name = self.parent(path)
        os.rmdir(name, dir_fd=directory.fd)
        self._forget(path)

    def rename(self, old: bytes, new: bytes) -> None:
        source, old_name = self.parent(old)
        target, new_name = self.parent(new)
        os.rename(old_name, new_name, src_dir_fd=source.fd, dst_dir_fd=target.fd)
        self._forget(old)
        self._forget(new)

    def remove_tree(self, path: bytes) -> None:
        """Remove what is at `path` and below; links are removed, not followed.

        OSError (ENOTEMPTY) if somebody else keeps filling a directory of it; ProtocolError if the tree is
        deeper than paths may be.
        """
        pending = [(path, 0)]
        while pending:
            here, attempts = pending[-1]
            if self._removed(here):
                pending.pop()
                continue
            if attempts == _REMOVE_ATTEMPTS:
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), here)
            pending[-1] = here, attempts + 1
            pending.extend((here + b"/" + name, 0) for name in self.listdir(here))

    def _removed(self, path: bytes) -> bool:
        """Whether `path` could be removed; a directory only if it is empty."""
        try:
            self.unlink(path)
        except FileNotFoundError:
            return True
        except IsADirectoryError:
            try:
                self.rmdir(path)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise
                return False
        return True

    def chmod(self, path: bytes, mode: int) -> None:
        """Set permission bits; OSError (EOPNOTSUPP) for a link, which has none of its own."""
        directory, name = self.parent(path)
        try:
            os.chmod(name, mode, dir_fd=directory.fd, follow_symlinks=False)
        except (ValueError, NotImplementedError) as error:  # what Python makes of the system's EOPNOTSUPP
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path) from error

    def utime(self, path: bytes, ns: int) -> None:
        """Set the modification time (of a link: its own) to `ns` nanoseconds, the access time to now."""
        directory, name = self.parent(path)
        os.utime(name, ns=(time.time_ns(), ns), dir_fd=directory.fd, follow_symlinks=False)

    def create_temp(self, path: bytes) -> tuple[int, bytes]:
        """A new file beside `path`, empty, mode 0600: (fd, its path)."""
        directory, _ = self.parent(path)
        fd, name = create_temp_in(directory)
        head, slash, _ = path.rpartition(b"/")
        return fd, head + slash + name

    def fsync_dir(self, path: bytes) -> None:
        """Make what happened to the name `path` in its directory survive a power failure."""
        sync_directory(self.parent(path)[0])
