"""Make a new file visible: temporary name, metadata, fsync, rename.

1. The content goes to a new file beside the old one, mode 0600.
2. Mode and time are set on it, then it is synced if that was asked for.
3. It is renamed over the old one.

An interruption before step 3 leaves the old file untouched and at worst a file
named `.parasync.<16 hex>`, which scans leave out; after it, the new file.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

from parasync.errors import FileError, display
from parasync.model import Entry
from parasync.tree.metadata import PERMISSIONS
from parasync.tree.safepath import Descriptor, Root, create_temp_in, sync_directory


class PendingFile:
    """A file that is being rebuilt and that nobody sees under its name yet.

    Writers may use `fd` as long as somebody holds this object: `discard`, which may come from
    another thread, removes the name only, so that a writer cannot hit a reused number.
    """

    def __init__(self, directory: Descriptor, name: bytes, temp: bytes, file: Descriptor) -> None:
        self._directory = directory
        self._name = name
        self._temp = temp
        self._file = file
        self._lock = threading.Lock()
        self._open = True

    @classmethod
    def create(cls, root: Root, path: bytes, size: int) -> PendingFile:
        """An empty file of `size` bytes beside `path`.

        Raises:
            OSError: also if the file system has no files of that size, before any byte was transferred.
        """
        directory, name = root.parent(path)
        fd, temp = create_temp_in(directory)
        pending = cls(directory, name, temp, Descriptor(fd))
        try:
            os.ftruncate(fd, size)
        except BaseException:
            pending.discard()
            raise
        return pending

    @property
    def fd(self) -> int:
        """Open for reading and writing; -1 after `commit`."""
        return self._file.fd

    def commit(self, entry: Entry, fsync: bool) -> None:
        """Put the file in its place with the entry's mode and time; `fsync`: on disk when this returns.

        Raises:
            FileError: if it was discarded before.
            OSError: from the system. The new file is then gone and the old one still there, unless it was
                syncing the directory that failed.
        """
        try:
            _finish(self._file, entry, fsync)
            self._publish()
        except BaseException:
            self.discard()
            raise
        if fsync:
            sync_directory(self._directory)

    def _publish(self) -> None:
        with self._lock:
            if not self._open:
                raise FileError(f"cannot commit '{display(self._name)}': it was discarded before: run again")
            _put_in_place(self._directory, self._temp, self._name)
            self._open = False

    def discard(self) -> None:
        """Remove the file unless it was committed. Any thread, any number of times; never raises OSError."""
        with self._lock:
            if self._open:
                self._open = False
                # A file that cannot be removed is no harm: scans leave it out.
                with suppress(OSError):
                    os.unlink(self._temp, dir_fd=self._directory.fd)


def _finish(file: Descriptor, entry: Entry, fsync: bool) -> None:
    os.fchmod(file.fd, entry.mode & PERMISSIONS)
    os.utime(file.fd, ns=(time.time_ns(), entry.mtime))
    if fsync:
        os.fsync(file.fd)
    # Before the rename: some file systems report here that the content could not be stored.
    file.close()


def _put_in_place(directory: Descriptor, temp: bytes, name: bytes) -> None:
    os.rename(temp, name, src_dir_fd=directory.fd, dst_dir_fd=directory.fd)
