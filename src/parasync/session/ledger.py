"""The receiver's account: what is outstanding, what was done, what failed and why."""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence

from parasync.errors import PartialTransferError, VanishedError, describe_os_error
from parasync.model import Entry, Failure, Monitor
from parasync.pipeline import Scope
from parasync.wire.messages import Failed, Finish

FAILURES_KEPT = 1000
"""Failures that are named in the account; all are counted, and each was an event."""

_DISK_ERRORS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO))


def fatal_reason(path: bytes, error: OSError) -> str | None:
    """The line to end the whole run with, if `error` would meet every other file too; else None."""
    return describe_os_error("write", path, error) if error.errno in _DISK_ERRORS else None


class Ledger:
    """Counters of one session's receiving side. Any thread may write; `wait` returns when nothing is outstanding."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._failures: list[Failure] = []
        self._outstanding = 0
        self._planned = False
        self._changed = threading.Condition()

    def listed(self, sizes: Sequence[int]) -> None:
        """Files of these sizes were announced."""
        self._monitor.expect(sum(sizes))
        self._monitor.add(files_total=len(sizes))

    def unchanged(self, size: int) -> None:
        """A file is what it should be."""
        self._monitor.advance(size)
        self._monitor.add(files_unchanged=1)

    def would_send(self, path: bytes, size: int) -> None:
        """A dry run found a file that differs."""
        self._monitor.advance(size)
        self._monitor.add(files_sent=1, bytes_target=size)
        self._monitor.emit("file", path)

    def changed(self, path: bytes) -> None:
        """A directory or symlink was made."""
        self._monitor.emit("made", path)

    def progress(self, copied: int = 0, literal: int = 0) -> None:
        """Bytes were written to a file that is not committed yet."""
        self._monitor.advance(copied + literal)
        self._monitor.add(bytes_copied=copied, bytes_literal=literal)

    def done(self, entries: Sequence[Entry]) -> None:
        """These files were committed."""
        self._monitor.add(files_sent=len(entries), bytes_target=sum(entry.size for entry in entries))
        for entry in entries:
            self._monitor.emit("file", entry.path)

    def failed(self, failed: Failed | Failure) -> None:
        """A path could not be transferred."""
        with self._changed:
            if len(self._failures) < FAILURES_KEPT:
                self._failures.append(Failure(failed.path, failed.code, failed.message))
        self._monitor.add(files_failed=1)
        self._monitor.emit("failed", failed.path, failed.message)

    def expect(self, files: int) -> None:
        """`files` more are outstanding."""
        with self._changed:
            self._outstanding += files

    def resolve(self, files: int) -> None:
        """`files` of the outstanding ones are committed or failed, and the sender was told."""
        with self._changed:
            self._outstanding -= files
            if not self._outstanding and self._planned:
                self._changed.notify_all()

    def planned(self) -> None:
        """Every entry was looked at: no more files will be outstanding."""
        self._monitor.scanned = True
        self._monitor.emit("scanned")
        with self._changed:
            self._planned = True
            self._changed.notify_all()

    def wait(self, scope: Scope) -> None:
        """Return when everything is planned and nothing is outstanding.

        Raises:
            Cancelled: if the scope was cancelled.
        """
        scope.on_cancel(self._wake)
        with self._changed:
            while not self._planned or self._outstanding:
                scope.check()
                self._changed.wait()

    def account(self) -> Finish:
        """What the sender is told at the end."""
        totals = self._monitor.totals
        with self._changed:
            codes = {failure.code for failure in self._failures}
            status = "ok"
            if totals.files_failed:
                status = VanishedError.code if codes == {VanishedError.code} else PartialTransferError.code
            return Finish(
                status=status,
                files_total=totals.files_total,
                files_sent=totals.files_sent,
                files_unchanged=totals.files_unchanged,
                files_failed=totals.files_failed,
                bytes_target=totals.bytes_target,
                bytes_copied=totals.bytes_copied,
                bytes_literal=totals.bytes_literal,
                failures=[Failed(*failure) for failure in self._failures],
            )

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
