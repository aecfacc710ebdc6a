"""PHASE III: pipelined reconstruction (ParaSync 3.3).

1. Every copy and literal carries its absolute target offset, so operations are
   applied in any order by any worker, with positional reads and writes.
2. The fingerprint of each piece is taken on its way to the disk and added at
   the piece's place in the file. The sum is order-free, and equals the sender's
   fingerprint of the whole target if each byte was written once and right.
3. When all bytes are written and the sender's fingerprint is known, the file is
   complete: verified, or to be thrown away.

The target is a new file beside the old one; an interruption leaves that file
to its owner, who removes it, and the old file untouched.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from parasync.kernels import FingerprintKey, Segment, TargetWriter
from parasync.pipeline import Channel, Scope, page_buffer

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Outcome(Enum):
    """What an operation made of its file."""

    PENDING = "bytes or the sender's fingerprint are still missing"
    VERIFIED = "complete, and what was written is what the sender has"
    MISMATCH = "complete, but not what the sender has"


class Step(NamedTuple):
    """What an operation did: bytes written, and what that made of its file."""

    written: int
    outcome: Outcome


class Reconstruction:
    """One file being rebuilt. Operations may come from any thread in any order; exactly one call completes it.

    Works on duplicates of the descriptors it is given, and closes them when it
    is decided or abandoned and the last operation has left: a peer that sends
    pieces twice can at worst spoil its own file.
    """

    def __init__(self, target_fd: int, basis_fd: int | None, size: int, key: FingerprintKey) -> None:
        self._fds = [os.dup(target_fd)]
        if basis_fd is not None:
            self._fds.append(os.dup(basis_fd))
        self._writer = TargetWriter(self._fds[0], size, key)
        self._size = size
        self._expected: bytes | None = None
        self._decided = False
        self._users = 0
        self._lock = threading.Lock()

    def copy(self, copies: bytes, segment: Segment | None = None) -> Step:
        """Apply packed copies (24 B each) from the basis; what lies in `segment` of it is not read again.

        Raises:
            OSError: reading or writing failed.
            EOFError: the basis became shorter than it was when it was chunked.
        """
        if not self._enter():
            return Step(0, Outcome.PENDING)
        try:
            written = self._writer.copy(self._fds[1], copies, segment)
        finally:
            outcome = self._leave()
        return Step(written, outcome)

    def literal(self, extents: Buffer, data: Buffer) -> Step:
        """Write `data` over packed extents (16 B each) of the target.

        Raises:
            OSError: writing failed.
            ValueError: the extents do not lie in the file or do not cover `data` exactly.
        """
        if not self._enter():
            return Step(0, Outcome.PENDING)
        try:
            written = self._writer.literal(extents, data)
        finally:
            outcome = self._leave()
        return Step(written, outcome)

    def expect(self, fingerprint: bytes) -> Outcome:
        """The sender's fingerprint of the whole target (16 B)."""
        if not self._enter():
            return Outcome.PENDING
        self._expected = fingerprint
        return self._leave()

    def abandon(self) -> None:
        """No operation is applied any more; idempotent."""
        with self._lock:
            self._decided = True
            self._close_if_unused()

    def _enter(self) -> bool:
        with self._lock:
            if self._decided:
                return False
            self._users += 1
            return True

    def _leave(self) -> Outcome:
        with self._lock:
            self._users -= 1
            complete = (
                not self._decided
                and self._users == 0
                and self._expected is not None
                # More bytes than the file has can only come from a peer that sends pieces twice.
                and self._writer.written >= self._size
            )
            if complete:
                self._decided = True
            self._close_if_unused()
        if not complete:
            return Outcome.PENDING
        return Outcome.VERIFIED if self._writer.fingerprint() == self._expected else Outcome.MISMATCH

    def _close_if_unused(self) -> None:
        if self._decided and self._users == 0:
            while self._fds:
                os.close(self._fds.pop())


class WriterPool:
    """Workers that carry out operations of any file; bounded by the weight that waits, not by their number."""

    def __init__(self, scope: Scope, workers: int, capacity: int, name: str) -> None:
        self._scope = scope
        self._name = name
        self._tasks: Channel[Callable[[], object]] = Channel(scope, capacity)
        for number in range(workers):
            scope.spawn(self._work, name=f"{name}{number}")

    def submit(self, task: Callable[[], object], weight: int) -> None:
        """Queue `task`, waiting while that would be more than the capacity."""
        self._tasks.put(task, weight)

    def close(self) -> None:
        self._tasks.close()

    def _work(self) -> None:
        for task in self._tasks:
            with self._scope.span(self._name):
                task()


class BufferPool:
    """A fixed number of reusable buffers; taking one waits for a free one, which is the backpressure of literals."""

    def __init__(self, scope: Scope, count: int, size: int) -> None:
        self._free: Channel[mmap.mmap] = Channel(scope, count)
        self._unmade = count
        self._size = size
        self._lock = threading.Lock()

    def take(self) -> mmap.mmap:
        with self._lock:
            new = self._unmade > 0
            self._unmade -= new
        return page_buffer(self._size) if new else self._free.get()

    def give_back(self, buffer: mmap.mmap) -> None:
        self._free.put(buffer)
