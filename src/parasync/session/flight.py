"""The receiver's files between need and done: admitted, settled, tried again, given up."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from parasync.chunking import ChunkingPool, InlineChunker
from parasync.config import FILES_IN_FLIGHT
from parasync.errors import FileError, ProtocolError, describe_os_error
from parasync.kernels import FingerprintKey
from parasync.model import Entry, Need
from parasync.options import Options
from parasync.pipeline import Scope
from parasync.reconstruction import Outcome, Reconstruction
from parasync.session.ahead import Ahead
from parasync.session.connection import Connection, unexpected
from parasync.session.incoming import Attempt, Follower, IncomingFile, Stage
from parasync.session.ledger import Ledger, fatal_reason
from parasync.session.small_incoming import Plan, Stored
from parasync.tree.safepath import Root
from parasync.wire import codec, content
from parasync.wire.messages import Failed, Flags, FrameType, Header, NeedItem


class Flight:
    """Owns every needed file from the plan to its end, and tells the sender about each end.

    A window bounds how many are open; the sender keeps to the same window in
    the same order, so the next file is let in before the end of one is told.
    Any thread may call; those that may send are not for the receiving thread.
    """

    def __init__(
        self,
        scope: Scope,
        connection: Connection,
        key: FingerprintKey,
        ledger: Ledger,
        options: Options,
        ahead: Ahead,
    ) -> None:
        self._scope = scope
        self._connection = connection
        self._key = key
        self._ledger = ledger
        self._options = options
        self._ahead = ahead
        self._files: dict[int, IncomingFile] = {}
        self._small: dict[int, Plan] = {}
        self._waiting: deque[IncomingFile] = deque()
        self._open = 0
        self._failed: set[int] = set()
        self._retried: set[int] = set()
        self._lock = threading.Lock()
        self._admission = threading.RLock()
        self._opening = threading.Lock()
        self._inline = InlineChunker(key, options.chunking)

    def start(self, root: Callable[[], Root], basis: ChunkingPool, follower: Follower) -> None:
        """Where files go, who chunks their bases, and who follows that."""
        self._root = root
        self._basis = basis
        self._follower = follower

    # -- the planner's thread -----------------------------------------------------------------

    def add(self, plans: Sequence[Plan]) -> list[NeedItem]:
        """Take these files over; what to tell the sender of them. Those in the window are open when this returns."""
        self._ledger.expect(len(plans))
        needs: list[NeedItem] = []
        with self._lock:
            for plan in plans:
                average = plan.average
                if plan.small:
                    self._small[plan.number] = plan
                else:
                    file = IncomingFile(plan.number, plan.entry, plan.path, plan.need, self._options)
                    average = file.average
                    self._files[file.index] = file
                    if file.need is Need.DELTA:
                        self._waiting.append(file)
                needs.append(NeedItem(plan.number, plan.need, average, plan.fingerprint, plan.chunks))
        self._admit()
        return needs

    # -- the receiving threads ----------------------------------------------------------------

    def current(self, header: Header) -> IncomingFile | None:
        """The file a frame is about; None if it belongs to an attempt that was given up meanwhile.

        Raises:
            ProtocolError: no such file is needed.
        """
        with self._lock:
            file = self._files.get(header.file)
            if file is None:
                # Over a lane, a frame of the first attempt may come when the second is done.
                stale = header.file in self._retried and not header.flags & Flags.RETRY
                if stale or header.file in self._failed:
                    return None
                raise unexpected(header)
            if file.retried != bool(header.flags & Flags.RETRY):
                if file.retried:
                    return None
                raise unexpected(header)
            return file

    def find(self, index: int) -> IncomingFile | None:
        """The file, if it is not done or given up."""
        with self._lock:
            return self._files.get(index)

    def claim_small(self, indices: Sequence[int]) -> list[Plan]:
        """Files whose whole content has come; each once.

        Raises:
            ProtocolError: one is not needed in that way.
        """
        with self._lock:
            plans = [self._small.pop(index, None) for index in indices]
        claimed = [plan for plan in plans if plan is not None]
        if len(claimed) < len(plans):
            missing = indices[plans.index(None)]
            raise ProtocolError(f"content of file {missing}, which is not needed as a small file")
        return claimed

    def refused_small(self, index: int, failed: Failed) -> bool:
        """The sender cannot send this one; whether it is one that comes in a batch."""
        with self._lock:
            if self._small.pop(index, None) is None:
                return False
            self._failed.add(index)
        self._ledger.failed(failed)
        self._ledger.resolve(1)
        return True

    def writer(self, file: IncomingFile, header: Header) -> Reconstruction | None:
        """What a frame of the file is written to; None if its attempt was given up meanwhile.

        A file that comes whole is opened for its first frame.

        Raises:
            OSError: it cannot be created.
            ProtocolError: it is not to come whole, or too many are open.
        """
        retry = bool(header.flags & Flags.RETRY)
        with self._opening:
            if file.stage is Stage.WAITING and file.retried == retry:
                self._open_whole(file)
        return file.writer(retry)

    def _open_whole(self, file: IncomingFile) -> None:
        if file.need is not Need.WHOLE or self._open >= 2 * FILES_IN_FLIGHT:
            raise ProtocolError(f"file {file.index} is not in flight")
        file.open_whole(self._root(), self._key)
        with self._lock:
            self._open += 1

    # -- any other thread ---------------------------------------------------------------------

    def settle(self, file: IncomingFile, rebuilt: Reconstruction, outcome: Outcome) -> None:
        """Act on what an operation made of its file."""
        if outcome is Outcome.VERIFIED:
            self._commit(file)
        elif outcome is Outcome.MISMATCH:
            self.try_whole(file, rebuilt)

    def try_whole(self, file: IncomingFile, rebuilt: Reconstruction) -> None:
        """Ask for the whole file, once: its delta failed or is hopeless. Later news of the same attempt is ignored."""
        attempt = file.start_over(rebuilt)
        if attempt is Attempt.EXHAUSTED:
            message = "what was written does not verify: run again, and check memory and disks if it recurs"
            self.give_up(file, Failed(file.path, "mismatch", message), tell=True)
        elif attempt is Attempt.NEW:
            self._ledger.progress(copied=-file.copied, literal=-file.literal)
            file.count(copied=-file.copied, literal=-file.literal)
            with self._lock:
                self._open -= 1
                self._retried.add(file.index)
            item = NeedItem(file.index, Need.WHOLE, file.average, b"")
            self._connection.send(FrameType.NEEDS, content.encode_needs([item]))

    def settle_small(self, stored: Stored) -> None:
        """Act on what came of a batch that was claimed."""
        if stored.done:
            self._tell_done([plan.number for plan in stored.done], [plan.entry for plan in stored.done])
        for plan, error in stored.failed:
            failed = self._failure(plan.path, error)
            with self._lock:
                self._failed.add(plan.number)
            self._ledger.failed(failed)
            self._connection.send(FrameType.FILE_FAILED, codec.encode_failed(failed), file=plan.number)
            self._ledger.resolve(1)
        if stored.again:
            again = [plan._replace(need=Need.WHOLE, average=0, fingerprint=b"", chunks=b"") for plan in stored.again]
            with self._lock:
                self._small.update((plan.number, plan) for plan in again)
            items = [NeedItem(plan.number, plan.need, 0) for plan in again]
            self._connection.send(FrameType.NEEDS, content.encode_needs(items))

    def fail(self, file: IncomingFile, error: OSError) -> None:
        """A file could not be written: it fails, the rest goes on.

        Raises:
            FileError: the reason is the disk as a whole.
        """
        self.give_up(file, self._failure(file.path, error), tell=True)

    def _failure(self, path: bytes, error: OSError) -> Failed:
        reason = fatal_reason(path, error)
        if reason is not None:
            raise FileError(reason) from error
        return Failed(path, FileError.code, describe_os_error("write", path, error))

    def give_up(self, file: IncomingFile, failed: Failed, tell: bool) -> None:
        """The file will not come; `tell` the sender, unless it said so itself."""
        with self._lock:
            self._failed.add(file.index)
        try:
            if self._forget(file):
                self._ledger.failed(failed)
                if tell:
                    self._connection.send(FrameType.FILE_FAILED, codec.encode_failed(failed), file=file.index)
                self._ledger.resolve(1)
        finally:
            file.release_basis()

    def close(self) -> None:
        """Remove every unfinished file, after the threads have ended."""
        for file in list(self._files.values()):
            file.close()
            file.release_basis()

    def _commit(self, file: IncomingFile) -> None:
        try:
            with self._scope.span("commit"):
                file.commit(self._options.fsync)
        except OSError as error:
            self.fail(file, error)
            return
        try:
            if self._forget(file):
                self._tell_done([file.index], [file.entry])
        finally:
            with self._scope.span("free"):
                file.release_basis()

    def _tell_done(self, indices: Sequence[int], entries: Sequence[Entry]) -> None:
        self._ledger.done(entries)
        self._connection.send(FrameType.FILES_DONE, codec.encode_indices(indices), count=len(indices))
        self._ledger.resolve(len(indices))

    def _forget(self, file: IncomingFile) -> bool:
        """Close the file and let the next one in; whether this call did it."""
        was_open = file.stage is Stage.OPEN
        if not file.close():
            return False
        with self._lock:
            self._files.pop(file.index, None)
            self._open -= was_open
        self._admit()
        return True

    def _admit(self) -> None:
        """Open the next files that are wanted as a delta, as many as may be in flight."""
        # One at a time: who finds nothing to admit may tell the sender of a free place, and the file that is to take it
        # must be open by then.
        with self._admission:
            while (file := self._next_waiting()) is not None:
                try:
                    file.open_delta(self._root(), self._key, self._inline, self._basis, self._ahead, self._follower)
                except OSError as error:
                    with self._lock:
                        self._open -= 1
                    self.fail(file, error)

    def _next_waiting(self) -> IncomingFile | None:
        with self._lock:
            while self._waiting and self._open < FILES_IN_FLIGHT:
                file = self._waiting.popleft()
                if file.stage is not Stage.CLOSED:
                    self._open += 1
                    return file
        return None
