"""What is kept of a file besides its content: kind, permission bits, modification time."""

from __future__ import annotations

import os
import stat

from parasync.errors import FileError, display
from parasync.model import Entry, Kind
from parasync.tree.safepath import Root

PERMISSIONS = 0o7777

_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.SYMLINK}


def kind_of(status: os.stat_result) -> Kind | None:
    """The kind of entry this is; None for devices, sockets and FIFOs, which are not synchronised."""
    return _KINDS.get(stat.S_IFMT(status.st_mode))


def entry_of(path: bytes, status: os.stat_result, link: bytes = b"") -> Entry:
    """The entry for `path`, from its lstat and, for a symlink, its target.

    Raises:
        ValueError: if it is of no kind that entries have.
    """
    mode = status.st_mode
    kind = _KINDS.get(stat.S_IFMT(mode))
    if kind is None:
        raise ValueError(f"no entry stands for file type {stat.S_IFMT(mode):#o}")
    size = status.st_size if kind is Kind.FILE else 0
    return Entry(path, kind, size, status.st_mtime_ns, mode & PERMISSIONS, link)


def unchanged(entry: Entry, status: os.stat_result) -> bool:
    """Whether a regular file of the same size and modification time is there already (rsync's quick check)."""
    return status.st_size == entry.size and status.st_mtime_ns == entry.mtime and stat.S_ISREG(status.st_mode)


def apply_metadata(root: Root, path: bytes, entry: Entry, status: os.stat_result | None = None) -> bool:
    """Give what is at `path` the entry's mode and time, where they differ; a symlink has only a time.

    `status` is its lstat if the caller has it. Returns whether anything differed.

    Raises:
        FileError: if what is there is not of the entry's kind.
        OSError: from the system.
    """
    found = status or root.lstat(path)
    if found is None or kind_of(found) is not entry.kind:
        raise FileError(f"cannot set mode and time of '{display(path)}': something else changed it: run again")
    differs = False
    if entry.kind is not Kind.SYMLINK and found.st_mode & PERMISSIONS != entry.mode & PERMISSIONS:
        root.chmod(path, entry.mode & PERMISSIONS)
        differs = True
    if found.st_mtime_ns != entry.mtime:
        root.utime(path, entry.mtime)
        differs = True
    return differs
