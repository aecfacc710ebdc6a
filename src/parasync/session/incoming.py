"""The receiver's files: basis indexed, target matched and rebuilt, verified and committed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Protocol

from parasync.chunking import ChunkingJob, ChunkingPool, InlineChunker, SegmentUse
from parasync.config import BEHIND_BYTES, BEHIND_SECONDS, HOPELESS_BYTES, INLINE_BYTES
from parasync.errors import ProtocolError, display
from parasync.kernels import ChunkTable, FingerprintKey, Segment
from parasync.matching import Answer, BasisSide, Matching
from parasync.model import Entry, Need
from parasync.options import Options
from parasync.reconstruction import Outcome, Reconstruction
from parasync.session.ahead import BASIS, Ahead, EarlyFile
from parasync.tree.commit import PendingFile
from parasync.tree.safepath import Root
from parasync.weak_strong import TentativeSide

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Stage(Enum):
    """Where a file stands between need and done."""

    WAITING = "needed; nothing is open"
    OPEN = "in flight"
    CLOSED = "committed or given up"


class Attempt(Enum):
    """What came of giving up an attempt."""

    NEW = "the file is to come whole"
    STALE = "that attempt was given up before"
    EXHAUSTED = "that was the last one"


class Follower(Protocol):
    """Who matches files with their bases as either grows."""

    keeps_behind: bool
    """Whether bases are to be chunked behind their targets, so that what can be copied is known when it is read."""

    def grown(self, file: IncomingFile) -> None:
        """There are more chunks of it, of either side."""

    def merged(self, file: IncomingFile, segment: Segment) -> Callable[[], SegmentUse | None]:
        """There are more chunks of its basis, and the bytes of this segment of it until its use is over."""


class IncomingFile:
    """One file that the receiver needs.

    Owned by the session; `close` may be called by any thread, the rest by the
    threads that the method names.
    """

    def __init__(self, index: int, entry: Entry, path: bytes, need: Need, options: Options) -> None:
        self.index = index
        self.entry = entry
        self.path = path
        self.need = need
        self.average = options.average_for(entry.size)
        self.stage = Stage.WAITING
        self.retried = False
        self.wanted = False
        self.copied = 0
        self.literal = 0
        self._basis_fd = -1
        self.rebuilt: Reconstruction | None = None
        self._pending: PendingFile | None = None
        self._target: ChunkTable | None = None
        self._options = options
        self.tentative: TentativeSide | None = None
        self._basis_job: ChunkingJob | None = None
        self._matching: Matching | None = None
        self._early: dict[int, tuple[Buffer, int]] = {}
        self._marked = False
        self._held_back: list[bytes] | None = []
        self._held_bytes = 0
        self._lock = threading.Lock()

    # -- opening: the planner's thread, or the one that admits the file -----------------------

    def open_delta(
        self,
        root: Root,
        key: FingerprintKey,
        inline: InlineChunker,
        pool: ChunkingPool,
        ahead: Ahead,
        follower: Follower,
    ) -> None:
        """Open basis and new file, and start Phase I on the basis.

        Raises:
            OSError: either cannot be opened.
        """
        self._basis_fd = root.open_read(self.path)
        early = ahead.take(self._basis_fd, BASIS, self.average, self._options.chunking)
        basis = self._prepare_matching(self._basis_fd, early)
        self._open_target(root, self._basis_fd, key)

        def failed(error: Exception) -> None:
            # What could be indexed still helps; the rest is wanted from the sender.
            basis.give_up()
            follower.grown(self)

        merged = partial(follower.merged, self)
        if early is not None:
            self._basis_job = early.job
            self._hold(early.job, follower)
            early.adopt(basis.add, failed, merged)
            follower.grown(self)
        elif 0 < basis.table.size <= INLINE_BYTES:
            try:
                inline.chunk(self._basis_fd, basis.table)
            except (OSError, EOFError) as error:
                failed(error)
            else:
                basis.add(0, len(basis.table), True)
                follower.grown(self)
        elif basis.table.size:
            rule = self._options.chunking
            self._basis_job = ChunkingJob(self._basis_fd, basis.table, basis.add, failed, rule, merged, keep=True)
            self._hold(self._basis_job, follower)
            pool.submit(self._basis_job)

    def _hold(self, job: ChunkingJob, follower: Follower) -> None:
        """Keep it behind the target."""
        if follower.keeps_behind and not self._options.weak_strong:
            job.hold(BEHIND_SECONDS)

    def _prepare_matching(self, fd: int, early: EarlyFile | None) -> BasisSide | TentativeSide:
        size = os.fstat(fd).st_size
        table = early.table if early is not None else ChunkTable(self.average, size, self._options.weak_strong)
        if self._options.weak_strong:
            self.tentative = TentativeSide(table, fd, self.entry.size)
            return self.tentative
        basis = BasisSide(table)
        self._target = ChunkTable(self.average, self.entry.size)
        self._matching = Matching(self._target, basis)
        return basis

    def open_whole(self, root: Root, key: FingerprintKey) -> None:
        """Open the new file; no basis takes part.

        Raises:
            OSError: it cannot be created.
        """
        self._open_target(root, None, key)

    def _open_target(self, root: Root, basis_fd: int | None, key: FingerprintKey) -> None:
        pending = PendingFile.create(root, self.path, self.entry.size)
        try:
            rebuilt = Reconstruction(pending.fd, basis_fd, self.entry.size, key)
        except BaseException:
            pending.discard()
            raise
        with self._lock:
            if self.stage is not Stage.CLOSED:
                self._pending, self.rebuilt, self.stage = pending, rebuilt, Stage.OPEN
                return
        rebuilt.abandon()
        pending.discard()
        if self.tentative is not None:
            self.tentative.close()

    # -- frames: the receiving thread ----------------------------------------------------------

    # Another thread may give up the attempt that a frame belongs to (`retry`: whether that is the second) at any
    # moment, also after the frame was found to be of use. Each method looks once more, under the lock.

    def writer(self, retry: bool) -> Reconstruction | None:
        """What a frame of this attempt is written to; None if the attempt was given up."""
        with self._lock:
            return self.rebuilt if self.retried == retry else None

    def tentative_side(self, retry: bool) -> TentativeSide | None:
        """What a frame about weak checksums is for; None if the attempt was given up, or the file is done.

        Raises:
            ProtocolError: the file is not waiting for any.
        """
        with self._lock:
            if self.tentative is None and self.retried == retry and self.stage is not Stage.CLOSED:
                raise ProtocolError(f"weak checksums of '{display(self.path)}', which is not waiting for any")
            return self.tentative if self.retried == retry else None

    def add_chunks(self, first: int, payload: Buffer, count: int) -> None:
        """A batch of the target's chunks, from number `first`; over lanes, batches may overtake each other.

        Only a first attempt has any.

        Raises:
            ProtocolError: it is malformed, or does not belong here.
        """
        with self._lock:
            if self.retried:
                return
            target = self._target
            if target is None or target.end == target.size:
                raise ProtocolError(f"chunks of '{display(self.path)}', which is not waiting for any")
            if first in self._early or not len(target) <= first <= target.size // (self.average // 2):
                raise ProtocolError(f"chunks of '{display(self.path)}' from number {first}, which is not to come")
            self._early[first] = payload, count
            while (next_in_order := self._early.pop(len(target), None)) is not None:
                self._extend(target, *next_in_order)

    def end(self, fingerprint: bytes, rebuilt: Reconstruction, in_order: bool) -> Outcome:
        """The sender's FILE_END: all chunks, or all literals of a whole file, were sent.

        Without lanes they came `in_order`; else some of them may still be on their way.

        Raises:
            ProtocolError: chunks are missing.
        """
        with self._lock:
            if self.rebuilt is not rebuilt:
                return Outcome.PENDING
            target = self._target
            if target is not None and in_order and target.end < target.size:
                raise ProtocolError(f"the chunks of '{display(self.path)}' do not make up the file")
        return rebuilt.expect(fingerprint)

    def _extend(self, target: ChunkTable, payload: Buffer, count: int) -> None:
        try:
            added = target.extend(payload)
        except ValueError as error:
            raise ProtocolError(f"bad chunks of '{display(self.path)}': {error}") from None
        if added != count:
            raise ProtocolError(f"{added} chunks of '{display(self.path)}' where {count} were announced")
        complete = target.end == target.size
        if any(complete or first < len(target) for first in self._early):
            raise ProtocolError(f"chunks of '{display(self.path)}' that came before, or beyond its end")
        if self._basis_job is not None:
            self._basis_job.allow(self._basis_job.table.size if complete else target.end - BEHIND_BYTES)

    def mark(self) -> bool:
        """Note that the matcher has something to do here; False if that is noted already."""
        with self._lock:
            first, self._marked = not self._marked, True
            return first

    def unmark(self) -> None:
        """The matcher starts on it; what comes from now on is to be marked again."""
        with self._lock:
            self._marked = False

    # -- matching: the matcher's thread, and those that chunk the basis ---------------------------

    def match(self) -> Answer | None:
        """Phase II for whatever is new on either side; None when the file is not being matched."""
        with self._lock:
            matching, target = self._matching, self._target
        if matching is None or target is None:
            return None
        return matching.step(len(target))

    def hold_back(self, copies: bytes, size: int, room: int) -> bool:
        """Keep these copies, of `size` bytes, for later; False if that is over, or would be more than `room` in all."""
        with self._lock:
            if self._held_back is None or self._held_bytes + size > room:
                return False
            self._held_bytes += size
            self._held_back.append(copies)
            return True

    def held_back(self) -> bytes:
        """The copies that were kept; none are from now on."""
        with self._lock:
            held, self._held_back = self._held_back, None
            return b"".join(held or [])

    def hopeless(self) -> bool:
        """Whether so much was compared without a match that the basis is taken for unrelated."""
        with self._lock:
            matching = self._matching
        return matching is not None and matching.hopeless(HOPELESS_BYTES)

    # -- the end: any thread ----------------------------------------------------------------------

    def commit(self, fsync: bool) -> None:
        """Put the verified new file in place of the old one, with its metadata.

        Raises:
            OSError: that failed; the old file is still there.
        """
        with self._lock:
            pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            pending.commit(self.entry, fsync)
        except BaseException:
            pending.discard()
            raise

    def start_over(self, rebuilt: Reconstruction) -> Attempt:
        """Forget what `rebuilt` holds and make ready for the whole file."""
        with self._lock:
            if self.rebuilt is not rebuilt:
                return Attempt.STALE
            if self.retried:
                return Attempt.EXHAUSTED
            self.retried = True
            self.need = Need.WHOLE
            parts = self._take_parts()
            self._target = self._matching = None
            self._early.clear()
            self.stage = Stage.WAITING
        _release(*parts)
        return Attempt.NEW

    def count(self, copied: int = 0, literal: int = 0) -> None:
        """Bytes were written."""
        with self._lock:
            self.copied += copied
            self.literal += literal

    def release_basis(self) -> None:
        """Let the old content go.

        After a commit nobody else has it, and the file system frees it now, which takes long for large files:
        done when the sender has been told, so that it does not wait for that.
        """
        with self._lock:
            fd, self._basis_fd = self._basis_fd, -1
        if fd >= 0:
            os.close(fd)

    def close(self) -> bool:
        """Give up what is open and remove the unfinished new file; whether this call did it. Idempotent."""
        with self._lock:
            first = self.stage is not Stage.CLOSED
            self.stage = Stage.CLOSED
            parts = self._take_parts()
        _release(*parts)
        return first

    def _take_parts(
        self,
    ) -> tuple[ChunkingJob | None, TentativeSide | None, Reconstruction | None, PendingFile | None]:
        parts = self._basis_job, self.tentative, self.rebuilt, self._pending
        self._basis_job = self.tentative = self.rebuilt = self._pending = None
        return parts


def _release(
    job: ChunkingJob | None,
    tentative: TentativeSide | None,
    rebuilt: Reconstruction | None,
    pending: PendingFile | None,
) -> None:
    if job is not None:
        job.stop()
    if tentative is not None:
        tentative.close()
    if rebuilt is not None:
        rebuilt.abandon()
    if pending is not None:
        pending.discard()
