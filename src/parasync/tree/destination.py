"""The receiver's side of a tree: what the destination argument means, and making room and directories below it."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import NamedTuple

from parasync.errors import FileError, PartialTransferError, ProtocolError, SelectionError, describe_os_error, display
from parasync.model import Entry, Failure, Kind
from parasync.tree.metadata import PERMISSIONS, apply_metadata, kind_of
from parasync.tree.safepath import Root, check_path, sync_directory
from parasync.tree.scan import path_in_module

_OWNER_ACCESS = 0o700
_NEW_DIRECTORY = 0o777
_IN_THE_WAY = frozenset((errno.ENOTEMPTY, errno.EEXIST))


class Destination(NamedTuple):
    """Where entries go: below `root`, which the caller closes; None if a dry run did not create it.

    `rename` is the name for the only entry, if it does not keep its own.
    """

    root: Root | None
    rename: bytes | None


def open_destination(argument: bytes, base: Root | None, single_file: bool, many: bool, dry_run: bool) -> Destination:
    """What a destination argument means, as rsync reads it.

    An existing directory takes the entries. Otherwise one file (`single_file`) goes to that very name,
    unless a slash follows it; anything else needs a directory, which is created if its parent exists.
    `many`: more than one source. With `base` (a server's module) the argument is a path below it and no
    link is followed. `b""` is the working directory, or the module.

    Raises:
        SelectionError: if there can be no such destination; the line says why.
        FileError: if it cannot be created because its parent directory is missing.
    """
    try:
        return _open(argument, base, single_file and not many, dry_run)
    except NotADirectoryError as error:
        reason = "must be a directory when there are several sources" if many else "is not a directory"
        line = f"destination '{display(argument)}' {reason}: choose another or move away what is there"
        raise SelectionError(line) from error
    except ProtocolError as error:
        raise SelectionError(str(error)) from error
    except OSError as error:
        raise SelectionError(describe_os_error("open destination", argument, error)) from error


def find_basis(argument: bytes, source: bytes) -> tuple[Root, bytes] | None:
    """What `source` would replace at this local destination if it is a file: a directory, which the caller closes, and
    a name. None if that cannot be told before the peer has answered, or there is nothing.
    """
    name = source.rpartition(b"/")[2]
    if name in {b"", b".", b".."}:
        return None
    with suppress(OSError, ProtocolError):
        try:
            return _enter(argument, None), name
        except NotADirectoryError:
            return _split(argument, None)
    return None


def _open(argument: bytes, base: Root | None, single_file: bool, dry_run: bool) -> Destination:
    if b"\0" in argument:
        raise SelectionError(f"destination '{display(argument)}' is not a path: it contains a NUL byte")
    wants_directory = not single_file or argument.rpartition(b"/")[2] in {b"", b".", b".."}
    try:
        return Destination(_enter(argument, base), None)
    except NotADirectoryError:
        if wants_directory:
            raise
    except FileNotFoundError:
        if wants_directory:
            return Destination(_create(argument, base, dry_run), None)
    parent, name = _split(argument, base)
    return Destination(parent, name)


def _enter(argument: bytes, base: Root | None) -> Root:
    return Root.open(argument or b".") if base is None else base.subroot(path_in_module(argument))


def _split(argument: bytes, base: Root | None) -> tuple[Root, bytes]:
    """The directory in which the last component is or would be, and that component."""
    if base is None:
        head, slash, name = argument.rstrip(b"/").rpartition(b"/")
        check_path(name)
        return Root.open(head + slash or b"."), name
    head, _, name = path_in_module(argument).rpartition(b"/")
    return base.subroot(head), name


def _create(argument: bytes, base: Root | None, dry_run: bool) -> Root | None:
    try:
        parent, name = _split(argument, base)
    except FileNotFoundError as error:
        raise FileError(
            f"cannot create destination '{display(argument)}': its parent directory does not exist: create that first"
        ) from error
    with parent:
        if dry_run:
            return None
        with suppress(FileExistsError):
            parent.mkdir(name, _NEW_DIRECTORY)
        return parent.subroot(name)


class TreeWriter:
    """Makes directories, symlinks and room for files below `root`; with `dry_run` only says what it would do.

    Entries come parents first. Directories get their own mode and time at the end, in
    `finish_directories`, because their content would change the one and may need the other. An
    interruption leaves them accessible to their owner and dated now; the next run finishes them.

    Every method may raise ProtocolError for paths that `check_path` refuses.
    """

    def __init__(self, root: Root | None, dry_run: bool) -> None:
        self._root = root
        self._dry_run = dry_run
        self._directories: list[Entry] = []

    def lstat(self, path: bytes) -> os.stat_result | None:
        """As `Root.lstat`; None also where a dry run created no root."""
        return self._root.lstat(path) if self._root is not None else None

    def prepare_directory(self, entry: Entry) -> bool:
        """Have a directory at the entry's path that can be written to; returns whether it was not there.

        A file or symlink in the way is removed. Raises OSError.
        """
        found = self.lstat(entry.path)
        is_new = found is None or kind_of(found) is not Kind.DIRECTORY
        if self._root is None or self._dry_run:
            return is_new
        if is_new:
            self.clear_way(entry.path, Kind.DIRECTORY)
            self._root.mkdir(entry.path, (entry.mode & _NEW_DIRECTORY) | _OWNER_ACCESS)
        elif found is not None and found.st_uid == os.geteuid() and ~found.st_mode & _OWNER_ACCESS:
            self._root.chmod(entry.path, (found.st_mode & PERMISSIONS) | _OWNER_ACCESS)
        self._directories.append(entry)
        return is_new

    def make_symlink(self, entry: Entry) -> bool:
        """Have a symlink like the entry at its path; returns whether the link was not there.

        Raises:
            FileError: if a directory with content is in the way.
            ProtocolError: if the target cannot be one.
            OSError: from the system.
        """
        root, path = self._root, entry.path
        if root is None:
            return True
        found = root.lstat(path)
        if found is not None and kind_of(found) is Kind.SYMLINK and root.readlink(path) == entry.link:
            if not self._dry_run:
                apply_metadata(root, path, entry, found)
            return False
        self.clear_way(path, Kind.SYMLINK)
        if not self._dry_run:
            root.symlink(entry.link, path)
            root.utime(path, entry.mtime)
        return True

    def clear_way(self, path: bytes, kind: Kind) -> None:
        """Make sure that an entry of `kind` can be put at `path`.

        An empty directory is removed for anything but a directory, and anything else for a directory;
        files and symlinks that are replaced by a rename stay until then.

        Raises:
            FileError: if a directory with content is in the way.
            OSError: from the system.
        """
        found = self.lstat(path)
        if self._root is None or found is None:
            return
        is_directory = kind_of(found) is Kind.DIRECTORY
        if kind is Kind.DIRECTORY:
            if not is_directory and not self._dry_run:
                self._root.unlink(path)
        elif is_directory and not self._remove_empty(self._root, path):
            new = kind.name.lower()
            raise FileError(
                f"cannot replace directory '{display(path)}' by a {new}: it has content: move it away first"
            )

    def _remove_empty(self, root: Root, path: bytes) -> bool:
        if self._dry_run:
            return not root.listdir(path)
        try:
            root.rmdir(path)
        except OSError as error:
            if error.errno not in _IN_THE_WAY:
                raise
            return False
        return True

    def finish_directories(self, fsync: bool = False) -> list[Failure]:
        """Give the prepared directories their mode and time, deepest first; returns those that failed.

        With `fsync`, the names in them and in the root survive a power failure once this returns.
        """
        failures: list[Failure] = []
        if self._root is None or self._dry_run:
            return failures
        for entry in sorted(self._directories, key=_depth, reverse=True):
            try:
                if fsync:
                    sync_directory(self._root.directory(entry.path))
                apply_metadata(self._root, entry.path, entry)
            except OSError as error:
                line = describe_os_error("finish directory", entry.path, error)
                failures.append(Failure(entry.path, PartialTransferError.code, line))
            except FileError as error:
                failures.append(Failure(entry.path, PartialTransferError.code, str(error)))
        self._directories.clear()
        if fsync:
            sync_directory(self._root.directory(b""))
        return failures


def _depth(entry: Entry) -> int:
    return entry.path.count(b"/") + bool(entry.path)
