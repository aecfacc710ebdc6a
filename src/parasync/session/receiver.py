"""The receiver: decides what it needs, plans copies and wants, rebuilds, verifies and commits.

Threads, and what each waits for:

- `receive` is the only reader of the first connection, and each lane has one; they wait for free literal
  buffers and for writers, which wait for the disk only. They never wait for a send.
- `plan` compares entries with the tree here and answers with needs.
- the chunking pool indexes the bases of files in flight, and copies what it has in memory.
- `match` turns chunks into copies and wants, when nobody of that pool does.
- writers apply other copies, literals and small files; whoever completes a file commits it.
- `finish` waits until nothing is outstanding.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from parasync.chunking import ChunkingPool
from parasync.config import (
    KEPT_SEGMENT_BYTES,
    LITERAL_BUFFERS,
    LITERAL_BYTES,
    MAX_FRAME,
    WRITE_QUEUE_BYTES,
)
from parasync.errors import ProtocolError
from parasync.kernels import fingerprint_key
from parasync.model import Entry
from parasync.pipeline import Channel, Scope
from parasync.reconstruction import BufferPool, Outcome, Reconstruction, WriterPool
from parasync.session.ahead import BASIS, Ahead
from parasync.session.compression import unpack
from parasync.session.connection import Connection, send_spans, unexpected
from parasync.session.context import Context, Goal
from parasync.session.flight import Flight
from parasync.session.incoming import IncomingFile
from parasync.session.lanes import Lane, Lanes
from parasync.session.ledger import Ledger
from parasync.session.literals import EXTENTS_PER_FRAME
from parasync.session.planner import Planner
from parasync.session.reuse import Reuse
from parasync.session.small_incoming import Plan
from parasync.session.unasked import UnaskedReceiver
from parasync.wire import codec, content
from parasync.wire.messages import (
    EXTENT_BYTES,
    FIRST_BYTES,
    NO_FILE,
    Finish,
    Flags,
    FrameType,
    Header,
    SmallFile,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

LITERAL_FRAME = LITERAL_BYTES + EXTENTS_PER_FRAME * EXTENT_BYTES
PLANNED_TOGETHER = 256
"""Entries that are answered together: their needs fit a frame, and the sender has work soon."""


class Receiver:
    """One session's basis side.

    `handshake` completes the greeting on the receiving thread and returns where
    the tree goes; the key is this side's to choose and known from the start, as `ahead` has it.
    """

    def __init__(
        self,
        lanes: Lanes,
        context: Context,
        handshake: Callable[[], Goal],
        ahead: Ahead,
    ) -> None:
        self._lanes = lanes
        self._connection = lanes.main
        self._monitor = context.monitor
        self._key = fingerprint_key(ahead.key)
        self._ahead = ahead
        self._options = context.options
        self._tracer = context.tracer
        self._tells_spans = context.tells_spans
        self._handshake = handshake
        self._ledger = Ledger(context.monitor)
        self._account: Finish | None = None

    def run(self) -> Finish:
        """Carry the session to its end; the account of it is returned, and was told to the sender.

        Raises:
            ParaSyncError: what ended it early. No unfinished file is left behind.
        """
        flight: Flight | None = None
        try:
            with Scope("receiver", self._connection.report, self._tracer) as scope:
                self._scope = scope
                self._connection.watch(scope, self._tracer)
                self._lanes.open(scope)
                self._entries: Channel[list[Entry]] = Channel(scope, 8)
                self._buffers = BufferPool(scope, LITERAL_BUFFERS, LITERAL_FRAME)
                self._literals = WriterPool(scope, 1, WRITE_QUEUE_BYTES, "literal")
                self._basis = ChunkingPool(scope, self._key, self._options.workers, KEPT_SEGMENT_BYTES, name=BASIS)
                self._flight = flight = Flight(
                    scope, self._connection, self._key, self._ledger, self._options, self._ahead
                )
                scope.spawn(self._connection.converse, scope, self._receive, name="receive")
        finally:
            if flight is not None:
                flight.close()
            sent, received = self._lanes.close()
            self._monitor.add(bytes_sent=sent, bytes_received=received)
        if self._account is None:
            raise ProtocolError("the session ended before everything was committed")
        return self._account

    # -- receive ----------------------------------------------------------------------------

    def _receive(self) -> None:
        goal = self._handshake()
        planner = Planner(goal, self._key, self._options, self._ledger)
        self._unasked = UnaskedReceiver(goal, self._take_unasked)
        self._planner = planner
        # After the greeting: until then, not every transport knows the round trip.
        self._reuse = Reuse(self._scope, self._connection, self._flight, self._ledger, self._options)
        self._flight.start(lambda: planner.root, self._basis, self._reuse)
        self._scope.spawn(self._plan, planner, name="plan")
        self._scope.spawn(self._reuse.run, name="match")
        self._scope.spawn(self._finish, name="finish")
        if self._lanes.expected:
            self._lanes.start(self._scope, self._receive_lane)
        handlers: dict[FrameType, Callable[[Header], None]] = {
            FrameType.ENTRIES: self._on_entries,
            FrameType.ENTRIES_END: self._on_entries_end,
            FrameType.SMALL: self._on_small,
            FrameType.CHUNKS: partial(self._on_chunks, self._connection),
            FrameType.WEAK: self._on_weak,
            FrameType.COPIES: self._on_copies,
            FrameType.LITERAL: partial(self._on_literal, self._connection),
            FrameType.FILE_END: self._on_file_end,
            FrameType.FILE_FAILED: self._on_file_failed,
            FrameType.LANE_LOST: self._on_lane_lost,
            FrameType.TRACE: self._on_trace,
        }
        self._announced = 0
        while (header := self._connection.receive()).type is not FrameType.BYE:
            if header.type not in handlers:
                raise unexpected(header)
            handlers[header.type](header)
        self._connection.finished()
        for part in (self._reuse, self._literals, self._basis):
            part.close()

    def _receive_lane(self, lane: Lane) -> None:
        handlers = {
            FrameType.CHUNKS: partial(self._on_chunks, lane.connection),
            FrameType.LITERAL: partial(self._on_literal, lane.connection),
        }

        def handle() -> None:
            header = lane.connection.receive()
            if header.type not in handlers:
                raise unexpected(header)
            handlers[header.type](header)

        self._scope.spawn(self._lanes.receive, lane, handle, name=f"lane {lane.number}")

    def _on_lane_lost(self, header: Header) -> None:
        self._lanes.give_up(header.file)

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
        payload: Buffer = self._connection.payload(header)
        if header.flags & Flags.ZSTD:
            payload = unpack(payload, MAX_FRAME)
        small = content.decode_small(payload)
        if len(small) != header.count:
            raise ProtocolError(f"{len(small)} small files where {header.count} were announced")
        plans = self._flight.claim_small([item.index for item in small])
        self._literals.submit(partial(self._store_small, list(zip(plans, small, strict=True))), header.length)

    def _on_chunks(self, connection: Connection, header: Header) -> None:
        payload = memoryview(connection.payload(header))
        first = int.from_bytes(payload[:FIRST_BYTES], "little")
        chunks = payload[FIRST_BYTES:]
        if header.flags & Flags.UNASKED:
            self._unasked.receive(header, first, chunks)
            return
        self._settle_unasked(header)
        if (file := self._flight.current(header)) is not None:
            self._add_chunks(file, first, chunks, header.count)

    def _settle_unasked(self, header: Header) -> None:
        """What is said of the first file from now on is an answer to its need: what came unasked comes before it."""
        if not header.file:
            self._unasked.answered(self._flight.find(0))

    def _take_unasked(self, first: int, chunks: memoryview, count: int) -> None:
        if (file := self._flight.find(0)) is not None:
            self._add_chunks(file, first, chunks, count)

    def _add_chunks(self, file: IncomingFile, first: int, chunks: memoryview, count: int) -> None:
        file.add_chunks(first, chunks, count)
        self._reuse.grown(file)

    def _on_weak(self, header: Header) -> None:
        payload = self._connection.payload(header)
        tokens = self._reuse.tokens
        if tokens is None:
            raise unexpected(header)
        if (file := self._flight.current(header)) is not None:
            tokens.values(file, header, payload)

    def _on_copies(self, header: Header) -> None:
        payload = self._connection.payload(header)
        tokens = self._reuse.tokens
        if tokens is None or header.file >= self._announced:
            raise unexpected(header)
        # What the sender says of tokens that were not needed any more may come after the file is done.
        file = self._flight.find(header.file)
        rebuilt = file.writer(retry=False) if file is not None else None
        if file is None or rebuilt is None:
            return
        self._reuse.copy(file, rebuilt, tokens.copies(file, payload))

    def _on_literal(self, connection: Connection, header: Header) -> None:
        head = header.count * EXTENT_BYTES
        if header.length > LITERAL_FRAME or head > header.length:
            raise ProtocolError(f"a literal frame of {header.length} bytes with {header.count} extents")
        buffer = self._buffers.take()
        view = memoryview(buffer)[: header.length]
        try:
            connection.payload_into(view)
        except BaseException:
            self._buffers.give_back(buffer)
            raise
        file = self._flight.current(header)
        rebuilt = self._writer(file, header) if file is not None else None
        if file is None or rebuilt is None:
            self._buffers.give_back(buffer)
            return
        packed = bool(header.flags & Flags.ZSTD)
        self._literals.submit(partial(self._write_literal, file, rebuilt, buffer, view, head, packed), header.length)

    def _on_file_end(self, header: Header) -> None:
        fingerprint = bytes(self._connection.payload(header))
        self._settle_unasked(header)
        file = self._flight.current(header)
        if file is None:
            return
        rebuilt = self._writer(file, header)
        if rebuilt is None:
            return
        outcome = file.end(fingerprint, rebuilt, in_order=not self._lanes.expected)
        self._reuse.grown(file)
        if outcome is not Outcome.PENDING:
            # Committing waits for the disk, so a writer does it.
            self._literals.submit(partial(self._flight.settle, file, rebuilt, outcome), 1)

    def _on_file_failed(self, header: Header) -> None:
        failed = codec.decode_failed(self._connection.payload(header))
        if header.file == NO_FILE:
            self._ledger.failed(failed)
            return
        if self._flight.refused_small(header.file, failed):
            return
        file = self._flight.find(header.file)
        if file is not None:
            # This may let other files in, and tell the sender about them: nothing for this thread.
            self._literals.submit(partial(self._flight.give_up, file, failed, tell=False), 1)

    def _on_trace(self, header: Header) -> None:
        self._tracer.peer_spans.extend(codec.decode_spans(self._connection.payload(header)))

    def _writer(self, file: IncomingFile, header: Header) -> Reconstruction | None:
        try:
            return self._flight.writer(file, header)
        except OSError as error:
            # The sender is to be told: nothing for this thread.
            self._literals.submit(partial(self._flight.fail, file, error), 1)
            return None

    # -- plan -------------------------------------------------------------------------------

    def _plan(self, planner: Planner) -> None:
        first = 0
        for announced in self._entries:
            for start in range(0, len(announced), PLANNED_TOGETHER):
                entries = announced[start : start + PLANNED_TOGETHER]
                with self._scope.span("plan"):
                    plans = planner.plan(first, entries)
                # Those that are opened now are open before the sender hears of them: their chunks may follow at once.
                needs = content.encode_needs(self._flight.add(plans))
                self._connection.send(FrameType.NEEDS, needs, file=first, count=len(entries))
                if not first:
                    self._unasked.answered(self._flight.find(0))  # not sooner: wants must not overtake the need
                first += len(entries)
        self._ahead.give_up()
        self._ledger.planned()

    # -- write ------------------------------------------------------------------------------

    def _write_literal(
        self, file: IncomingFile, rebuilt: Reconstruction, buffer: mmap.mmap, view: memoryview, head: int, packed: bool
    ) -> None:
        try:
            with view, view[:head] as extents, view[head:] as data:
                if packed:
                    with self._scope.span("decompress"):
                        original = unpack(data, LITERAL_BYTES)
                    step = rebuilt.literal(extents, original)
                else:
                    step = rebuilt.literal(extents, data)
        except ValueError as error:
            raise ProtocolError(f"a bad literal for file {file.index}: {error}") from None
        except OSError as error:
            self._flight.fail(file, error)
            return
        finally:
            self._buffers.give_back(buffer)
        file.count(literal=step.written)
        self._ledger.progress(literal=step.written)
        self._flight.settle(file, rebuilt, step.outcome)

    def _store_small(self, files: list[tuple[Plan, SmallFile]]) -> None:
        with self._scope.span("store"):
            stored = self._planner.store(files)
        sent = {item.index: len(item.data) for _, item in files}
        literal = sum(sent[plan.number] for plan in stored.done)
        self._ledger.progress(copied=sum(plan.entry.size for plan in stored.done) - literal, literal=literal)
        self._flight.settle_small(stored)

    # -- finish -----------------------------------------------------------------------------

    def _finish(self) -> None:
        self._ledger.wait(self._scope)
        self._planner.finish_directories()
        self._account = self._ledger.account()
        self._lanes.settle()
        if self._tells_spans:
            send_spans(self._connection, self._tracer)
        self._connection.send(FrameType.FINISH, codec.encode_finish(self._account))
