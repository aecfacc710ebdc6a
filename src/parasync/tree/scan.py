"""From what the user or a peer named as a source to a stream of entries."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from parasync.config import MAX_NAME
from parasync.errors import (
    PartialTransferError,
    ProtocolError,
    SelectionError,
    UsageError,
    VanishedError,
    describe_os_error,
    display,
)
from parasync.model import Entry, Failure, Kind
from parasync.tree.metadata import entry_of, kind_of
from parasync.tree.safepath import Descriptor, Root, check_path, is_temp, list_names

SKIPPED = "skipped"
"""Failure code for devices, sockets and FIFOs: a notice, not an error."""

_VANISHED = frozenset((errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.ESTALE))
"""What the system says of a path that was removed, or became something else, since its directory was listed."""


class Source(NamedTuple):
    """Where a scan begins: `name` below `root`, which the caller closes; `prefix` is its path on the wire.

    Both are `b""` for the content of `root` itself. They are always equal, so an entry's path is also
    the path below `root` of what it stands for.
    """

    root: Root
    name: bytes
    prefix: bytes


class _Level(NamedTuple):
    path: bytes
    names: Iterator[bytes]


def open_source(argument: bytes, base: Root | None) -> Source:
    """What a source argument means, as rsync reads it.

    `dir/`, `dir/.` and `..` mean the content of a directory, `dir` the directory under its own name, a
    file or symlink itself; a link with a slash behind it is followed. With `base` (a server's module) the
    argument is a path below it: a leading slash means nothing, `b""` is its content, no link is followed.

    Raises:
        PartialTransferError: if there is no such source; others may still be transferred.
        SelectionError: if the path leads out of `base`.
        UsageError: if the argument can be no path.
    """
    if b"\0" in argument or (base is None and not argument):
        raise UsageError(f"source '{display(argument)}' is not a path: name a file or directory")
    content = argument.rpartition(b"/")[2] in {b"", b".", b".."}
    try:
        return _open_local(argument, content) if base is None else _open_module(argument, content, base)
    except OSError as error:
        raise PartialTransferError(describe_os_error("read source", argument, error)) from error
    except ProtocolError as error:
        raise PartialTransferError(str(error)) from error


def _open_local(argument: bytes, content: bool) -> Source:
    if content:
        return Source(Root.open(argument), b"", b"")
    head, slash, name = argument.rpartition(b"/")
    return _existing(Root.open(head + slash or b"."), name)


def _open_module(argument: bytes, content: bool, base: Root) -> Source:
    path = path_in_module(argument)
    if content or not path:
        return Source(base.subroot(path), b"", b"")
    head, _, name = path.rpartition(b"/")
    return _existing(base.subroot(head), name)


def _existing(root: Root, name: bytes) -> Source:
    if root.lstat(name) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return Source(root, name, name)


def path_in_module(argument: bytes) -> bytes:
    """A path that a peer gave for a module, as a path below the module's root.

    Raises:
        SelectionError: for a `..` component.
        ProtocolError: for what `check_path` refuses.
    """
    parts = [part for part in argument.split(b"/") if part not in {b"", b"."}]
    if b".." in parts:
        raise SelectionError(f"refused '{display(argument)}': '..' may lead out of the module: leave it out")
    return check_path(b"/".join(parts))


def is_single_file(sources: Sequence[Source]) -> bool:
    """Whether there is exactly one source and it is there and not a directory.

    OSError if that cannot be found out.
    """
    if len(sources) != 1:
        return False
    status = sources[0].root.lstat(sources[0].name)
    return status is not None and kind_of(status) is not Kind.DIRECTORY


def scan(source: Source) -> Iterator[Entry | Failure]:
    """Entries of the source: parents before children, names of one directory in the order of their bytes.

    What cannot be read becomes a `Failure` in its place and the scan goes on: code "vanished" if it was
    there when its directory was listed, `SKIPPED` for what is neither file, directory nor symlink, else
    "partial". Unfinished files of ours are left out. Memory: one listing per level of depth; the scan keeps
    a directory open while it works in it, within the root's limit.
    """
    root = source.root
    try:
        directory, name = root.parent(source.name)
    except OSError as error:
        yield _failure(source.prefix, error)
        return
    first = _look(directory, name, source.prefix)
    yield first
    levels: list[_Level] = []
    if isinstance(first, Entry) and first.kind is Kind.DIRECTORY:
        yield from _descend(root, source.name, levels)
    while levels:
        path, names = levels[-1]
        try:
            directory = root.directory(path)
        except OSError as error:
            yield _failure(path, error)
            levels.pop()
            continue
        below = path + b"/" if path else path
        for name in names:
            found = _look(directory, name, below + name)
            yield found
            if isinstance(found, Entry) and found.kind is Kind.DIRECTORY:
                yield from _descend(root, found.path, levels)
                break
        else:
            levels.pop()


def _descend(root: Root, path: bytes, levels: list[_Level]) -> Iterator[Failure]:
    """List the directory at `path` as the next level."""
    try:
        names = [name for name in list_names(root.directory(path)) if not is_temp(name)]
    except OSError as error:
        yield _failure(path, error)
        return
    names.sort()
    levels.append(_Level(path, iter(names)))


def _look(directory: Descriptor, name: bytes, path: bytes) -> Entry | Failure:
    """The entry for `name` in `directory`, whose path is `path`."""
    if len(path) > MAX_NAME:  # shorter ones cannot exceed any limit
        try:
            check_path(path)
        except ProtocolError as error:
            # Reported for its directory, because a failure with such a path would be refused as well.
            return Failure(path.rpartition(b"/")[0], PartialTransferError.code, f"{error}: shorten it")
    try:
        status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        kind = kind_of(status)
        if kind is None:
            return Failure(path, SKIPPED, f"skipping '{display(path)}': it is not a file, directory or symbolic link")
        link = os.readlink(name, dir_fd=directory.fd) if kind is Kind.SYMLINK else b""
        return entry_of(path, status, link)
    except OSError as error:
        return _failure(path, error)


def _failure(path: bytes, error: OSError) -> Failure:
    if error.errno in _VANISHED:
        return Failure(path, VanishedError.code, f"'{display(path)}' vanished before it could be read")
    return Failure(path, PartialTransferError.code, describe_os_error("read", path, error))
