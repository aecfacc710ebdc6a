"""The receiver's matcher: chunks of either side become copies and wants, and copies are carried out.

What a segment of the basis has for the target is copied out of that segment while it is in memory: read once, and often
still in a cache. Of the threads that chunk the basis, one at a time does that, since a file takes one writer, and the
others chunk on. That is only done as long as the target takes it at the speed of memory. Everything else is copied by
workers.

So the basis is kept a little behind the target. Over a long link, the index comes first instead: wants depend on it,
and their way is long. Some copies wait for that, to be made while wants and the first literals travel.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from parasync.chunking import SegmentUse
from parasync.config import COPY_WORKERS, DISTANT_SECONDS, INLINE_BYTES
from parasync.errors import ProtocolError
from parasync.kernels import Segment
from parasync.matching import Answer
from parasync.options import Options
from parasync.pipeline import Channel, Scope
from parasync.reconstruction import Outcome, Reconstruction, WriterPool
from parasync.session.compression import prepare_unpacking
from parasync.session.connection import Connection
from parasync.session.flight import Flight
from parasync.session.incoming import IncomingFile, Stage
from parasync.session.ledger import Ledger
from parasync.session.tokens import TokenSender
from parasync.wire.messages import COPY_BYTES, EXTENT_BYTES, FrameType

COPIES_PER_TASK = 32
COPY_QUEUE_BYTES = 1 << 20
"""Copies that wait for a writer, as records: bounds memory, not work."""
WANTS_PER_FRAME = 512
"""8 KB: the first frame comes with the first packets of a connection that has sent little so far, and the sender has
work; a single frame with all wants of a large file takes it two or three round trips."""
KEEPING_UP = 100e6
"""Bytes per second below which a target does not take copies at the speed of memory: a tenth of what a core writes
into the page cache, so that other threads on it do not matter."""
HELD_BACK_BYTES = 256 << 20
"""Copies of a file that wait for its index: what can be made while the first wants travel, and the first literals come.
Measured with 500 Mbit/s and 50 ms, two cores, 300 to 400 MB of copies: with 0, 64, 128, 256 MiB and all of them the
slowest of three files took 1.23, 1.21, 1.16, 1.05 and 1.08 s, and another 1.14, 1.11, 1.06, 0.99 and 1.06 s."""
JUDGED_SECONDS = 0.25
"""Time of writing after which that is judged."""


class Reuse:
    """Follows every file that has a basis. Any thread may tell that one has grown."""

    def __init__(
        self,
        scope: Scope,
        connection: Connection,
        flight: Flight,
        ledger: Ledger,
        options: Options,
    ) -> None:
        self._scope = scope
        self._connection = connection
        self._flight = flight
        self._ledger = ledger
        self.tokens = TokenSender(scope, connection, options.workers, self.grown) if options.weak_strong else None
        self._grown: Channel[IncomingFile] = Channel(scope, 1 << 30)
        self._copies = WriterPool(scope, COPY_WORKERS, COPY_QUEUE_BYTES, "copy")
        self._pace = _Pace()
        self._distant = connection.stream.round_trip >= DISTANT_SECONDS
        self.keeps_behind = not self._distant
        self._wanting = False

    def grown(self, file: IncomingFile) -> None:
        """There are more chunks of it, of either side."""
        # The basis of a file may grow for a moment after it is done, and the session with it.
        if file.mark():
            self._grown.offer(file)

    def merged(self, file: IncomingFile, segment: Segment) -> Callable[[], SegmentUse | None]:
        """The chunks of this segment of its basis are in the index, and its bytes in memory until its use is over.

        Looked up at once, so that whoever merges the next segment does not find what is in this one.
        """
        if self.tokens is not None or not self._pace.keeps_up:
            self.grown(file)
            return _nothing
        return self._advance(file, segment)

    def run(self) -> None:
        """Advance what has grown, until `close`."""
        for file in self._grown:
            file.unmark()
            if self.tokens is not None:
                self.tokens.advance(file)
            else:
                self._advance(file)()

    def copy(self, file: IncomingFile, rebuilt: Reconstruction, copies: bytes) -> None:
        """Have these packed copies carried out by a worker."""
        for part in _parts(copies, COPIES_PER_TASK * COPY_BYTES):
            self._submit(file, partial(self._write, file, rebuilt, part), len(part))

    def close(self) -> None:
        """Nothing grows any more, and no copies follow."""
        self._grown.close()
        self._copies.close()
        if self.tokens is not None:
            self.tokens.close()

    def _advance(self, file: IncomingFile, segment: Segment | None = None) -> Callable[[], SegmentUse | None]:
        """Look up what is new; the result is what follows from it, and then the use of the segment, if it has one."""
        # Before the look-up: should the attempt be given up after that, its copies must not get into the next one.
        rebuilt = file.rebuilt
        with self._scope.span("match"):
            answer = file.match()
        if answer is None or rebuilt is None:
            return _nothing
        return partial(self._follow_up, file, rebuilt, answer, segment)

    def _follow_up(
        self, file: IncomingFile, rebuilt: Reconstruction, answer: Answer, segment: Segment | None
    ) -> SegmentUse | None:
        if not file.wanted and not self._distant and file.hopeless():
            self._flight.try_whole(file, rebuilt)
            return None
        file.wanted = file.wanted or bool(answer.wants)
        # Wants first: the sender can read and send while the copies are made here.
        for part in _parts(answer.wants, WANTS_PER_FRAME * EXTENT_BYTES):
            self._want(file, part)
        if answer.wants and self._distant and not self._wanting:
            self._wanting = True
            self._submit(file, prepare_unpacking, 1)
        copies = answer.copies
        if answer.basis_complete:
            self.copy(file, rebuilt, file.held_back())
        elif self._distant and file.hold_back(copies, answer.matched, HELD_BACK_BYTES):
            return None
        here = b""
        if copies and segment is not None and self._pace.keeps_up:
            here, copies = segment.partition(copies)
        if copies and file.entry.size <= INLINE_BYTES:
            self._write(file, rebuilt, copies)
        else:
            self.copy(file, rebuilt, copies)
        return partial(self._copy_from, segment, file, rebuilt, here) if here else None

    def _copy_from(self, segment: Segment | None, file: IncomingFile, rebuilt: Reconstruction, copies: bytes) -> None:
        start = time.perf_counter()
        with self._scope.span("copy"):
            written = self._write(file, rebuilt, copies, segment)
        self._pace.note(written, time.perf_counter() - start)

    def _write(self, file: IncomingFile, rebuilt: Reconstruction, copies: bytes, segment: Segment | None = None) -> int:
        try:
            step = rebuilt.copy(copies, segment)
        except EOFError:
            self._flight.try_whole(file, rebuilt)
            return 0
        except OSError as error:
            self._flight.fail(file, error)
            return 0
        file.count(copied=step.written)
        self._ledger.progress(copied=step.written)
        if step.outcome is not Outcome.PENDING and segment is not None:
            # Committing waits for the disk: nothing for those who chunk.
            self._submit(file, partial(self._flight.settle, file, rebuilt, step.outcome), 1)
        else:
            self._flight.settle(file, rebuilt, step.outcome)
        return step.written

    # A file may be given up, and the session end with it, while it is still followed here.

    def _want(self, file: IncomingFile, extents: bytes) -> None:
        try:
            self._connection.send(FrameType.WANTS, extents, file=file.index, count=len(extents) // EXTENT_BYTES)
        except ProtocolError:
            if file.stage is not Stage.CLOSED:
                raise

    def _submit(self, file: IncomingFile, task: Callable[[], object], weight: int) -> None:
        try:
            self._copies.submit(task, weight)
        except ValueError:
            if file.stage is not Stage.CLOSED:
                raise


def _nothing() -> None:
    pass


class _Pace:
    """Whether copies are written so fast that it is not worth handing them on."""

    def __init__(self) -> None:
        self.keeps_up = True
        self._bytes = 0
        self._seconds = 0.0
        self._lock = threading.Lock()

    def note(self, written: int, seconds: float) -> None:
        """So much was written in so long."""
        with self._lock:
            self._bytes += written
            self._seconds += seconds
            if self._seconds >= JUDGED_SECONDS:
                self.keeps_up = self.keeps_up and self._bytes >= KEEPING_UP * self._seconds
                self._bytes, self._seconds = 0, 0.0


def _parts(records: bytes, size: int) -> Iterator[bytes]:
    return (records[start : start + size] for start in range(0, len(records), size))
