"""What the receiver needs of each entry, decided by comparing it with the tree here."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from parasync.config import SMALL_FILE, Options
from parasync.errors import FileError, ProtocolError, describe_os_error, display
from parasync.kernels import FingerprintKey
from parasync.model import Entry, Failure, Kind, Need
from parasync.session.ledger import Ledger, fatal_reason
from parasync.tree.commit import write_small
from parasync.tree.destination import Destination, TreeWriter
from parasync.tree.metadata import apply_metadata, unchanged
from parasync.tree.safepath import Root, check_path
from parasync.wire.messages import SmallFile


class Plan(NamedTuple):
    """One file to transfer; `fingerprint` is the basis's, for COMPARE only."""

    number: int
    entry: Entry
    path: bytes
    need: Need
    fingerprint: bytes = b""


class Planner:
    """Looks at entries in order; makes directories and symlinks at once, and plans files."""

    def __init__(self, destination: Destination, key: FingerprintKey, options: Options, ledger: Ledger) -> None:
        self._root = destination.root
        self._rename = destination.rename
        self._key = key
        self._options = options
        self._ledger = ledger
        self._tree = TreeWriter(destination.root, options.dry_run)

    @property
    def root(self) -> Root:
        """Where files go; there is one whenever a plan was made."""
        if self._root is None:
            raise ProtocolError("content for a destination that a dry run did not create")
        return self._root

    def plan(self, number: int, entry: Entry) -> Plan | None:
        """What is needed of `entry`; None if nothing more (made, unchanged, failed, or a dry run).

        Raises:
            ProtocolError: the path is not one that a sender may name.
            FileError: the file system as a whole refuses.
        """
        path = check_path(entry.path)
        if self._rename is not None:
            if number or entry.kind is Kind.DIRECTORY:
                raise ProtocolError(f"'{display(path)}' where a single file was announced")
            path = self._rename
            entry = entry._replace(path=path)
        try:
            if entry.kind is Kind.FILE:
                return self._plan_file(number, entry, path)
            if entry.kind is Kind.DIRECTORY:
                made = self._tree.prepare_directory(entry)
            else:
                made = self._tree.make_symlink(entry)
            if made:
                self._ledger.changed(path)
        except OSError as error:
            reason = fatal_reason(path, error)
            if reason is not None:
                raise FileError(reason) from error
            self._ledger.failed(Failure(path, FileError.code, describe_os_error("write", path, error)))
        except FileError as error:
            self._ledger.failed(Failure(path, error.code, str(error)))
        return None

    def store(self, path: bytes, entry: Entry, item: SmallFile) -> None:
        """Write a small file, or only its metadata where its content is already here.

        Raises:
            OSError: from the system; the old file is still there.
            ProtocolError: the content is not what was announced.
        """
        if item.same:
            apply_metadata(self.root, path, entry)
            return
        if len(item.data) != entry.size or self._key.fingerprint(item.data) != item.fingerprint:
            raise ProtocolError(f"the content of '{display(path)}' is not what was announced")
        write_small(self.root, path, item.data, entry, self._options.fsync)

    def finish_directories(self) -> None:
        """Give directories their own mode and time, now that nothing is written into them any more."""
        if self._options.dry_run:
            return
        for failure in self._tree.finish_directories(self._options.fsync):
            self._ledger.failed(failure)

    def _plan_file(self, number: int, entry: Entry, path: bytes) -> Plan | None:
        self._ledger.listed(entry.size)
        found = self._tree.lstat(path)
        basis = found if found is not None and stat.S_ISREG(found.st_mode) else None
        if basis is not None and not self._options.ignore_times and unchanged(entry, basis):
            if not self._options.dry_run:
                apply_metadata(self.root, path, entry, basis)
            self._ledger.unchanged(entry.size)
            return None
        self._tree.clear_way(path, Kind.FILE)
        if self._options.dry_run:
            self._ledger.would_send(path, entry.size)
            return None
        if basis is None or not basis.st_size or self._options.whole_file:
            return Plan(number, entry, path, Need.WHOLE)
        if entry.size > SMALL_FILE:
            return Plan(number, entry, path, Need.DELTA)
        if basis.st_size == entry.size:
            return Plan(number, entry, path, Need.COMPARE, self._basis_fingerprint(path, entry.size))
        return Plan(number, entry, path, Need.WHOLE)

    def _basis_fingerprint(self, path: bytes, size: int) -> bytes:
        fd = self.root.open_read(path)
        try:
            return self._key.fingerprint(os.read(fd, size))
        finally:
            os.close(fd)
