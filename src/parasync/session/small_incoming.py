"""The receiver's small files: bases described, answers put in place, many at a time (decision 17)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from parasync.config import SMALL_DIRECTORIES, SMALL_WHOLE
from parasync.errors import ProtocolError, display
from parasync.kernels import CHANGED, UNVERIFIED, FingerprintKey, SmallReader, store_small
from parasync.model import Entry, Need
from parasync.tree.safepath import TEMP_PREFIX, Descriptor, Root, sync_directory
from parasync.wire.messages import SmallFile


class Plan(NamedTuple):
    """One file to transfer; `fingerprint` and `chunks` are the basis's, for COMPARE and PATCH."""

    number: int
    entry: Entry
    path: bytes
    need: Need
    average: int = 0
    fingerprint: bytes = b""
    chunks: bytes = b""
    basis_size: int = 0

    @property
    def small(self) -> bool:
        """Whether it comes in a batch."""
        return self.need is not Need.DELTA and self.entry.size <= SMALL_WHOLE


_Failures = list[tuple[Plan, OSError]]
_Place = tuple[Descriptor, bytes]


class Described(NamedTuple):
    """What came of looking at the bases of a batch."""

    plans: list[Plan]
    failed: _Failures


class Stored(NamedTuple):
    """What came of putting a batch in place."""

    done: list[Plan]
    failed: _Failures
    again: list[Plan]
    """What came does not verify: the basis is not any more what it was."""


class SmallFiles:
    """Describes and stores small files below `root`. `describe` has one owner, `store` may run beside it."""

    def __init__(self, key: FingerprintKey, rule: str) -> None:
        self._key = key
        self._reader = SmallReader(key, rule)

    def describe(self, root: Root, plans: Sequence[Plan]) -> Described:
        """These plans with their bases read; one whose basis has changed since is to come whole."""
        described = Described([], [])
        for group in _groups(root, plans, described.failed):
            requests = [(directory.fd, name, plan.basis_size, plan.average) for plan, (directory, name) in group]
            for (plan, _), (error, fingerprint, chunks) in zip(group, self._reader.bases(requests), strict=True):
                if error == CHANGED:
                    described.plans.append(plan._replace(need=Need.WHOLE, average=0))
                elif error:
                    described.failed.append((plan, OSError(error, os.strerror(error))))
                else:
                    described.plans.append(Plan(*plan[:5], fingerprint, chunks, plan.basis_size))
        return described

    def store(self, root: Root, files: Sequence[tuple[Plan, SmallFile]], fsync: bool) -> Stored:
        """Put these in place, with mode and time.

        Raises:
            ProtocolError: one is not what was announced.
        """
        stored = Stored([], [], [])
        answers = {plan.number: item for plan, item in files}
        for group in _groups(root, [plan for plan, _ in files], stored.failed):
            requests = [_request(plan, answers[plan.number], place) for plan, place in group]
            try:
                errors = store_small(self._key, requests, TEMP_PREFIX, fsync)
            except ValueError as error:
                raise ProtocolError(f"bad content of small files: {error}") from None
            if fsync:
                errors = _sync(errors, [directory for _, (directory, _) in group])
            for (plan, _), failure in zip(group, errors, strict=True):
                _sort(stored, plan, answers[plan.number], failure)
        return stored


def _groups(root: Root, plans: Sequence[Plan], failed: _Failures) -> Iterator[list[tuple[Plan, _Place]]]:
    """Plans with their places, so many at a time that few directories are open."""
    group: list[tuple[Plan, _Place]] = []
    directories: set[int] = set()
    for plan in plans:
        try:
            place = root.parent(plan.path)
        except OSError as error:
            failed.append((plan, error))
            continue
        group.append((plan, place))
        directories.add(place[0].fd)
        if len(directories) == SMALL_DIRECTORIES:
            yield group
            group, directories = [], set()
    if group:
        yield group


def _request(plan: Plan, item: SmallFile, place: _Place) -> tuple[int, bytes, int, int, int, bool, bytes, bytes, bytes]:
    entry = plan.entry
    directory, name = place
    known = plan.fingerprint and plan.basis_size == entry.size
    if (item.same and not known) or (item.copies and plan.need is not Need.PATCH):
        raise ProtocolError(f"the content of '{display(plan.path)}' is said to be where it is not")
    return (
        *(directory.fd, name, entry.size, entry.mode, entry.mtime),
        *(item.same, item.fingerprint, item.data, item.copies),
    )


def _sort(stored: Stored, plan: Plan, item: SmallFile, error: int) -> None:
    if not error:
        stored.done.append(plan)
    elif error not in {CHANGED, UNVERIFIED}:
        stored.failed.append((plan, OSError(error, os.strerror(error))))
    elif item.same or item.copies:
        stored.again.append(plan)
    else:
        raise ProtocolError(f"the content of '{display(plan.path)}' is not what was announced")


def _sync(errors: list[int], directories: Sequence[Descriptor]) -> list[int]:
    """Make the names of the stored files durable, a directory at a time; errors, also of that."""
    synced: dict[int, int] = {}
    for error, directory in zip(errors, directories, strict=True):
        if error or directory.fd in synced:
            continue
        try:
            sync_directory(directory)
        except OSError as failure:
            synced[directory.fd] = failure.errno or errno.EIO
        else:
            synced[directory.fd] = 0
    return [error or synced[directory.fd] for error, directory in zip(errors, directories, strict=True)]
