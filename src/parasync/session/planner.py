"""What the receiver needs of each entry, decided by comparing it with the tree here."""

from __future__ import annotations

import stat
from collections.abc import Sequence

from parasync.config import LEAST_PATCH, MAX_SMALL_AVERAGE, SMALL_AVERAGE, SMALL_FILE, SMALL_WHOLE
from parasync.errors import FileError, ProtocolError, describe_os_error, display
from parasync.kernels import FingerprintKey
from parasync.model import Entry, Failure, Kind, Need
from parasync.options import Options
from parasync.session.context import Goal
from parasync.session.ledger import Ledger, fatal_reason
from parasync.session.small_incoming import Plan, SmallFiles, Stored
from parasync.tree.destination import TreeWriter
from parasync.tree.metadata import apply_metadata, unchanged
from parasync.tree.safepath import Root, check_path
from parasync.wire.messages import SmallFile

_COMPARED = frozenset((Need.COMPARE, Need.PATCH))


class Planner:
    """Looks at entries in order; makes directories and symlinks at once, and plans files."""

    def __init__(self, goal: Goal, key: FingerprintKey, options: Options, ledger: Ledger) -> None:
        destination = goal.destination
        self._root = destination.root
        self._rename = destination.rename
        self._small = SmallFiles(key, options.chunking)
        self._patches = goal.patches and not options.weak_strong
        self._small_average = min(options.average or SMALL_AVERAGE, MAX_SMALL_AVERAGE)
        self._options = options
        self._ledger = ledger
        self._tree = TreeWriter(destination.root, options.dry_run)

    @property
    def root(self) -> Root:
        """Where files go; there is one whenever a plan was made."""
        if self._root is None:
            raise ProtocolError("content for a destination that a dry run did not create")
        return self._root

    def plan(self, first: int, entries: Sequence[Entry]) -> list[Plan]:
        """What is needed of these entries, numbered from `first`; the others need nothing more.

        Those were made, are unchanged, failed, or this is a dry run.

        Raises:
            ProtocolError: a path is not one that a sender may name.
            FileError: the file system as a whole refuses.
        """
        plans: list[Plan] = []
        compared: list[Plan] = []
        self._ledger.listed([entry.size for entry in entries if entry.kind is Kind.FILE])
        for number, entry in enumerate(entries, first):
            plan = self._plan(number, entry)
            if plan is not None:
                (compared if plan.need in _COMPARED else plans).append(plan)
        if compared:
            described = self._small.describe(self.root, compared)
            plans += described.plans
            for plan, error in described.failed:
                self._failed(plan.path, error)
        return plans

    def store(self, files: Sequence[tuple[Plan, SmallFile]]) -> Stored:
        """Put small files in place, or only their metadata where their content is already here.

        Raises:
            ProtocolError: the content is not what was announced.
        """
        return self._small.store(self.root, files, self._options.fsync)

    def finish_directories(self) -> None:
        """Give directories their own mode and time, now that nothing is written into them any more."""
        if self._options.dry_run:
            return
        for failure in self._tree.finish_directories(self._options.fsync):
            self._ledger.failed(failure)

    def _plan(self, number: int, entry: Entry) -> Plan | None:
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
            self._failed(path, error)
        except FileError as error:
            self._ledger.failed(Failure(path, error.code, str(error)))
        return None

    def _failed(self, path: bytes, error: OSError) -> None:
        reason = fatal_reason(path, error)
        if reason is not None:
            raise FileError(reason) from error
        self._ledger.failed(Failure(path, FileError.code, describe_os_error("write", path, error)))

    def _plan_file(self, number: int, entry: Entry, path: bytes) -> Plan | None:
        found = self._tree.lstat(path)
        basis = found if found is not None and stat.S_ISREG(found.st_mode) else None
        if basis is not None and not self._options.ignore_times and unchanged(entry, basis):
            if not self._options.dry_run:
                apply_metadata(self.root, path, entry, basis)
            self._ledger.unchanged(entry.size)
            return None
        if found is not None and basis is None:
            self._tree.clear_way(path, Kind.FILE)
        if self._options.dry_run:
            self._ledger.would_send(path, entry.size)
            return None
        need, average = self._need(entry.size, basis.st_size if basis is not None else 0)
        return Plan(number, entry, path, need, average, basis_size=basis.st_size if basis is not None else 0)

    def _need(self, size: int, basis_size: int) -> tuple[Need, int]:
        """How a file is to come whose basis is different, and the average size of its chunks."""
        if not basis_size or self._options.whole_file:
            return Need.WHOLE, 0
        if size == basis_size <= SMALL_FILE:
            return Need.COMPARE, 0
        if self._patches and max(size, basis_size) <= SMALL_WHOLE and size > LEAST_PATCH:
            return Need.PATCH, self._small_average
        return (Need.DELTA, 0) if size > SMALL_FILE else (Need.WHOLE, 0)
