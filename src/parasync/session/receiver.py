"""The receiver: decides what it needs, plans copies and wants, rebuilds, verifies and commits.

Threads, and what each waits for:

- `receive` is the only reader of the connection; it waits for free literal buffers and for writers, which
  wait for the disk only. It never waits for a send.
- `plan` compares entries with the tree here and answers with needs.
- the chunking pool indexes the bases of files in flight.
- `match` turns chunks into copies and wants.
- writers apply copies, literals and small files; whoever completes a file commits it.
- `finish` waits until nothing is outstanding.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from parasync.chunking import ChunkingPool
from parasync.config import (
    COPY_WORKERS,
    FILES_IN_FLIGHT,
    LITERAL_BUFFERS,
    LITERAL_BYTES,
    WRITE_QUEUE_BYTES,
)
from parasync.errors import FileError, ProtocolError, describe_os_error
from parasync.kernels import FingerprintKey
from parasync.model import Entry, Need
from parasync.pipeline import Channel, Scope
from parasync.reconstruction import BufferPool, Outcome, Reconstruction, WriterPool
from parasync.session.connection import Connection, send_spans, unexpected
from parasync.session.context import Context
from parasync.session.incoming import IncomingFile, Stage
from parasync.session.ledger import Ledger, fatal_reason
from parasync.session.outgoing import EXTENTS_PER_FRAME
from parasync.session.planner import Plan, Planner
from parasync.tree.destination import Destination
from parasync.wire import codec
from parasync.wire.messages import (
    EXTENT_BYTES,
    MAX_BATCH,
    NO_FILE,
    Failed,
    Finish,
    Flags,
    FrameType,
    Header,
    NeedItem,
    SmallFile,
)

LITERAL_FRAME = LITERAL_BYTES + EXTENTS_PER_FRAME * EXTENT_BYTES
COPIES_PER_TASK = 32
COPY_RECORD = 24
COPY_QUEUE_BYTES = 1 << 20
"""Copies that wait for a writer, as records: bounds memory, not work."""


class Receiver:
    """One session's basis side.

    `handshake` completes the greeting on the receiving thread and returns where
    the tree goes; the key is this side's to choose and known from the start.
    """

    def __init__(
        self,
        connection: Connection,
        key: FingerprintKey,
        context: Context,
        handshake: Callable[[], Destination],
    ) -> None:
        self._connection = connection
        self._key = key
        self._options = context.options
        self._tracer = context.tracer
        self._tells_spans = context.tells_spans
        self._handshake = handshake
        self._ledger = Ledger(context.monitor)
        self._files: dict[int, IncomingFile] = {}
        self._waiting: deque[IncomingFile] = deque()
        self._open = 0
        self._failed: set[int] = set()
        self._lock = threading.Lock()
        self._account: Finish | None = None

    def run(self) -> Finish:
        """Carry the session to its end; the account of it is returned, and was told to the sender.

        Raises:
            ParaSyncError: what ended it early. No unfinished file is left behind.
        """
        try:
            with Scope("receiver", self._connection.report, self._tracer) as scope:
                self._scope = scope
                self._connection.watch(scope, self._tracer)
                self._entries: Channel[list[Entry]] = Channel(scope, 8)
                self._grown: Channel[IncomingFile] = Channel(scope, 1 << 30)
                self._buffers = BufferPool(scope, LITERAL_BUFFERS, LITERAL_FRAME)
                self._copies = WriterPool(scope, COPY_WORKERS, COPY_QUEUE_BYTES, "copy")
                self._literals = WriterPool(scope, 1, WRITE_QUEUE_BYTES, "literal")
                self._basis = ChunkingPool(scope, self._key, self._options.workers, name="basis")
                scope.spawn(self._connection.converse, scope, self._receive, name="receive")
        finally:
            for file in list(self._files.values()):
                file.close()
                file.release_basis()
        if self._account is None:
            raise ProtocolError("the session ended before everything was committed")
        return self._account

    # -- receive ----------------------------------------------------------------------------

    def _receive(self) -> None:
        planner = Planner(self._handshake(), self._key, self._options, self._ledger)
        self._planner = planner
        self._scope.spawn(self._plan, planner, name="plan")
        self._scope.spawn(self._match, name="match")
        self._scope.spawn(self._finish, name="finish")
        handlers: dict[FrameType, Callable[[Header], None]] = {
            FrameType.ENTRIES: self._on_entries,
            FrameType.ENTRIES_END: self._on_entries_end,
            FrameType.SMALL: self._on_small,
            FrameType.CHUNKS: self._on_chunks,
            FrameType.LITERAL: self._on_literal,
            FrameType.FILE_END: self._on_file_end,
            FrameType.FILE_FAILED: self._on_file_failed,
            FrameType.TRACE: self._on_trace,
        }
        self._announced = 0
        while (header := self._connection.receive()).type is not FrameType.BYE:
            if header.type not in handlers:
                raise unexpected(header)
            handlers[header.type](header)
        self._connection.finished()
        for part in (self._grown, self._copies, self._literals, self._basis):
            part.close()

    def _on_entries(self, header: Header) -> None:
        entries = codec.decode_entries(self._connection.payload(header))
        if header.file != self._announced or header.count != len(entries):
            raise ProtocolError(f"entries {header.file} where {self._announced} was next")
        self._announced += len(entries)
        self._entries.put(entries)

    def _on_entries_end(self, header: Header) -> None:
        if header.count != self._announced:
            raise ProtocolError(f"{header.count} entries were announced and {self._announced} sent")
        self._entries.close()

    def _on_small(self, header: Header) -> None:
        small = codec.decode_small(self._connection.payload(header))
        files = [(self._claim_small(item.index), item) for item in small]
        self._literals.submit(partial(self._store_small, files), header.length)

    def _claim_small(self, index: int) -> IncomingFile:
        with self._lock:
            file = self._files.get(index)
            if file is None or file.stage is not Stage.WAITING or file.need is Need.DELTA or file.claimed:
                raise ProtocolError(f"content of file {index}, which is not needed as a small file")
            file.claimed = True
            return file

    def _on_chunks(self, header: Header) -> None:
        payload = self._connection.payload(header)
        if (file := self._current(header)) is not None:
            file.add_chunks(payload, header.count)
            self._poke(file)

    def _on_literal(self, header: Header) -> None:
        head = header.count * EXTENT_BYTES
        if header.length > LITERAL_FRAME or head > header.length:
            raise ProtocolError(f"a literal frame of {header.length} bytes with {header.count} extents")
        buffer = self._buffers.take()
        view = memoryview(buffer)[: header.length]
        self._connection.payload_into(view)
        file = self._current(header)
        rebuilt = self._rebuilt(file) if file is not None else None
        if file is None or rebuilt is None:
            self._buffers.give_back(buffer)
            return
        self._literals.submit(partial(self._write_literal, file, rebuilt, buffer, view, head), header.length)

    def _on_file_end(self, header: Header) -> None:
        fingerprint = bytes(self._connection.payload(header))
        file = self._current(header)
        if file is None:
            return
        self._rebuilt(file)
        outcome = file.end(fingerprint, self._key)
        self._poke(file)
        # Committing waits for the disk, so a writer does it.
        self._literals.submit(partial(self._settle, file, outcome), 1)

    def _on_file_failed(self, header: Header) -> None:
        failed = codec.decode_failed(self._connection.payload(header))
        if header.file == NO_FILE:
            self._ledger.failed(failed)
            return
        with self._lock:
            file = self._files.get(header.file)
        if file is not None:
            # This may let other files in, and tell the sender about them: nothing for this thread.
            self._literals.submit(partial(self._give_up, file, failed, tell=False), 1)

    def _on_trace(self, header: Header) -> None:
        self._tracer.peer_spans.extend(codec.decode_spans(self._connection.payload(header)))

    def _current(self, header: Header) -> IncomingFile | None:
        """The file a frame is about; None if it belongs to an attempt that was given up meanwhile."""
        with self._lock:
            file = self._files.get(header.file)
            if file is None:
                if header.file in self._failed:
                    return None
                raise unexpected(header)
            if file.retried != bool(header.flags & Flags.RETRY):
                if file.retried:
                    return None
                raise unexpected(header)
            return file

    def _rebuilt(self, file: IncomingFile) -> Reconstruction | None:
        """The reconstruction of a file in flight; a whole file is opened by its first frame."""
        if file.stage is Stage.WAITING:
            if file.need is not Need.WHOLE or self._open >= 2 * FILES_IN_FLIGHT:
                raise ProtocolError(f"file {file.index} is not in flight")
            try:
                file.open_whole(self._planner.root, self._key)
            except OSError as error:
                self._literals.submit(partial(self._fail, file, error), 1)
                return None
            with self._lock:
                self._open += 1
        return file.rebuilt

    # -- plan -------------------------------------------------------------------------------

    def _plan(self, planner: Planner) -> None:
        first = 0
        for entries in self._entries:
            with self._scope.span("plan"):
                plans = [plan for number, entry in enumerate(entries, first) if (plan := planner.plan(number, entry))]
            self._answer(first, len(entries), plans)
            first += len(entries)
        self._ledger.planned()

    def _answer(self, first: int, count: int, plans: list[Plan]) -> None:
        files = [IncomingFile(plan.number, plan.entry, plan.path, plan.need) for plan in plans]
        self._ledger.expect(len(files))
        with self._lock:
            for file in files:
                self._files[file.index] = file
                if file.need is Need.DELTA:
                    self._waiting.append(file)
        # Admitted before the sender hears of them: their chunks may follow at once.
        self._admit()
        items = [
            NeedItem(file.index, file.need, file.average, plan.fingerprint)
            for file, plan in zip(files, plans, strict=True)
        ]
        self._connection.send(FrameType.NEEDS, codec.encode_needs(items), file=first, count=count)

    def _admit(self) -> None:
        """Open the next files that are wanted as a delta, as many as may be in flight."""
        while True:
            with self._lock:
                if not self._waiting or self._open >= FILES_IN_FLIGHT:
                    return
                file = self._waiting.popleft()
                if file.stage is Stage.CLOSED:
                    continue
                self._open += 1
            try:
                file.open_delta(self._planner.root, self._key, self._basis, self._poke)
            except OSError as error:
                with self._lock:
                    self._open -= 1
                self._fail(file, error)

    # -- match ------------------------------------------------------------------------------

    def _poke(self, file: IncomingFile) -> None:
        if file.mark():
            self._grown.put(file, 0)

    def _match(self) -> None:
        for file in self._grown:
            file.unmark()
            rebuilt = file.rebuilt
            with self._scope.span("match"):
                answer = file.match()
            if answer is None or rebuilt is None:
                continue
            # Wants first: the sender can read and send while the copies are made here.
            for part in _parts(answer.wants, MAX_BATCH * EXTENT_BYTES):
                self._connection.send(FrameType.WANTS, part, file=file.index, count=len(part) // EXTENT_BYTES)
            for part in _parts(answer.copies, COPIES_PER_TASK * COPY_RECORD):
                self._copies.submit(partial(self._write_copies, file, rebuilt, part), len(part))

    # -- write ------------------------------------------------------------------------------

    def _write_copies(self, file: IncomingFile, rebuilt: Reconstruction, copies: bytes) -> None:
        try:
            step = rebuilt.copy(copies)
        except EOFError:
            self._settle(file, Outcome.MISMATCH)
            return
        except OSError as error:
            self._fail(file, error)
            return
        file.count(copied=step.written)
        self._ledger.progress(copied=step.written)
        self._settle(file, step.outcome)

    def _write_literal(
        self, file: IncomingFile, rebuilt: Reconstruction, buffer: bytearray, view: memoryview, head: int
    ) -> None:
        try:
            with view, view[:head] as extents, view[head:] as data:
                step = rebuilt.literal(extents, data)
        except ValueError as error:
            raise ProtocolError(f"a bad literal for file {file.index}: {error}") from None
        except OSError as error:
            self._fail(file, error)
            return
        finally:
            self._buffers.give_back(buffer)
        file.count(literal=step.written)
        self._ledger.progress(literal=step.written)
        self._settle(file, step.outcome)

    def _store_small(self, files: list[tuple[IncomingFile, SmallFile]]) -> None:
        done = []
        for file, item in files:
            try:
                self._planner.store(file.path, file.entry, item)
            except OSError as error:
                self._fail(file, error)
                continue
            size = file.entry.size
            self._ledger.progress(copied=size if item.same else 0, literal=0 if item.same else size)
            self._ledger.done(file.path, size)
            done.append(file.index)
            with self._lock:
                self._files.pop(file.index, None)
        if done:
            self._connection.send(FrameType.FILES_DONE, codec.encode_indices(done), count=len(done))
            self._ledger.resolve(len(done))

    def _settle(self, file: IncomingFile, outcome: Outcome) -> None:
        """Act on what an operation made of its file."""
        if outcome is Outcome.PENDING:
            return
        if outcome is Outcome.MISMATCH:
            self._try_whole(file)
            return
        try:
            with self._scope.span("commit"):
                file.commit(self._options.fsync)
        except OSError as error:
            self._fail(file, error)
            return
        try:
            if self._forget(file):
                self._ledger.done(file.path, file.entry.size)
                self._connection.send(FrameType.FILES_DONE, codec.encode_indices([file.index]), count=1)
                self._ledger.resolve(1)
        finally:
            file.release_basis()

    def _try_whole(self, file: IncomingFile) -> None:
        """The basis changed while it was read, or something was garbled: once, ask for the whole file."""
        if not file.start_over():
            message = "what was written does not verify, twice: run again, and check memory and disks if it recurs"
            self._give_up(file, Failed(file.path, "mismatch", message), tell=True)
            return
        self._ledger.progress(copied=-file.copied, literal=-file.literal)
        file.count(copied=-file.copied, literal=-file.literal)
        with self._lock:
            self._open -= 1
        item = NeedItem(file.index, Need.WHOLE, file.average, b"")
        self._connection.send(FrameType.NEEDS, codec.encode_needs([item]))

    def _fail(self, file: IncomingFile, error: OSError) -> None:
        """A file could not be written: it fails, the rest goes on, unless the disk as a whole is the reason."""
        reason = fatal_reason(file.path, error)
        if reason is not None:
            raise FileError(reason)
        self._give_up(file, Failed(file.path, FileError.code, describe_os_error("write", file.path, error)), tell=True)

    def _give_up(self, file: IncomingFile, failed: Failed, tell: bool) -> None:
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

    # -- finish -----------------------------------------------------------------------------

    def _finish(self) -> None:
        self._ledger.wait(self._scope)
        self._planner.finish_directories()
        self._account = self._ledger.account()
        if self._tells_spans:
            send_spans(self._connection, self._tracer)
        self._connection.send(FrameType.FINISH, codec.encode_finish(self._account))


def _parts(records: bytes, size: int) -> Iterator[bytes]:
    return (records[start : start + size] for start in range(0, len(records), size))
