"""The sender: announces its tree, chunks what is needed, answers wants.

Threads, and what each waits for:

- `announce` walks the sources and streams entries; waits for the receiver's answers when too many are out.
- `receive` is the only reader of the connection; it hands on and never waits for a send.
- `feed` opens needed files in order; waits for a place in the window of files in flight.
- the chunking pool streams chunks as they become final; `early` those of a file that was begun ahead of its need,
  the first of them unasked.
- `literals` reads and sends what is wanted; so does a thread for each lane.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from parasync.config import (
    COMPRESS_NOTHING,
    ENTRIES_IN_FLIGHT,
    ENTRY_BATCH,
    FILES_IN_FLIGHT,
)
from parasync.errors import ProtocolError
from parasync.kernels import fingerprint_key
from parasync.model import Failure, Kind, Need
from parasync.pipeline import Channel, Scope, Window
from parasync.session.ahead import Ahead
from parasync.session.chunk_sender import ChunkSender
from parasync.session.compression import LinkRate, Packer
from parasync.session.connection import send_spans, unexpected
from parasync.session.context import Context, Terms
from parasync.session.lanes import Lane, Lanes
from parasync.session.literals import LiteralQueue, LiteralSender, LiteralTask
from parasync.session.outgoing import ChangedError, Needed, Offered, OutgoingFile, failure_of, send_failure
from parasync.session.small_outgoing import SmallSender, is_small
from parasync.session.unasked import UnaskedSender
from parasync.session.verifying import Verifier
from parasync.tree.scan import SKIPPED, Source, scan
from parasync.wire import codec, content
from parasync.wire.messages import Failed, Finish, FrameType, Header, NeedItem

FIRST_ENTRY_BATCH = 64
"""The first batch is small, so that the receiver starts early; later ones double up to ENTRY_BATCH."""


class Sender:
    """One session's target side.

    `handshake` completes the greeting on the receiving thread and returns the
    fingerprint key; it may block for the peer, the announcement does not wait for it.
    """

    def __init__(
        self,
        lanes: Lanes,
        sources: Sequence[Source],
        failures: Sequence[Failure],
        context: Context,
        handshake: Callable[[], Terms],
        ahead: Ahead,
    ) -> None:
        self._lanes = lanes
        self._connection = lanes.main
        self._sources = sources
        self._failures = failures
        self._options = context.options
        self._monitor = context.monitor
        self._tracer = context.tracer
        self._tells_spans = context.tells_spans
        self._verifier: Verifier | None = None
        self._handshake = handshake
        self._ahead = ahead
        self._offered: dict[int, Offered] = {}
        self._files: dict[int, OutgoingFile] = {}
        self._failed: set[int] = set()
        self._lock = threading.Lock()
        self._finish: Finish | None = None

    def run(self) -> Finish:
        """Carry the session to its end; the receiver's account of it is returned.

        Raises:
            ParaSyncError: what ended it early.
        """
        try:
            with ExitStack() as after, Scope("sender", self._connection.report, self._tracer) as scope:
                self._scope = scope
                self._connection.watch(scope, self._tracer)
                self._lanes.open(scope)
                self._unasked = UnaskedSender(scope, self._connection, self._ahead, self._options)
                after.callback(self._unasked.give_up)
                self._unanswered = Window(scope, ENTRIES_IN_FLIGHT)
                # Bounded by the entries in flight; the receiving thread must not wait here.
                self._needed: Channel[list[Needed]] = Channel(scope, 1)
                self._literals: Channel[LiteralTask] = Channel(scope, 1 << 62)
                scope.spawn(self._announce, name="announce")
                scope.spawn(self._connection.converse, scope, self._receive, name="receive")
        finally:
            for file in list(self._files.values()):
                file.close()
            sent, received = self._lanes.close()
            self._monitor.add(bytes_sent=sent, bytes_received=received)
        if self._finish is None:
            raise ProtocolError("the session ended without the receiver's account")
        return self._finish

    # -- announce ---------------------------------------------------------------------------

    def _announce(self) -> None:
        index = 0
        limit = FIRST_ENTRY_BATCH
        batch: list[Offered] = []
        for failure in self._failures:
            self._report_unread(failure)
        for source in self._sources:
            for found in scan(source):
                if isinstance(found, Failure):
                    self._report_unread(found)
                    continue
                batch.append(Offered(source, found))
                if len(batch) == limit:
                    index = self._send_entries(index, batch)
                    batch = []
                    limit = min(ENTRY_BATCH, 2 * limit)
        if batch:
            index = self._send_entries(index, batch)
        self._connection.send(FrameType.ENTRIES_END, count=index)
        self._monitor.scanned = True
        self._monitor.emit("scanned")

    def _report_unread(self, failure: Failure) -> None:
        if failure.code == SKIPPED:
            self._monitor.emit("skipped", failure.path, failure.message)
            return
        send_failure(self._connection, Failed(failure.path, failure.code, failure.message))
        self._monitor.emit("failed", failure.path, failure.message)

    def _send_entries(self, first: int, batch: list[Offered]) -> int:
        self._unanswered.acquire(len(batch))
        with self._lock:
            self._offered.update(enumerate(batch, first))
        entries = [offered.entry for offered in batch]
        self._monitor.expect(sum(entry.size for entry in entries))
        self._monitor.add(files_total=sum(entry.kind is Kind.FILE for entry in entries))
        for start, count, payload in codec.entry_frames(first, entries):
            self._connection.send(FrameType.ENTRIES, payload, file=start, count=count)
        if not first:
            self._unasked.begin(batch[0])
        return first + len(entries)

    # -- receive ----------------------------------------------------------------------------

    def _receive(self) -> None:
        self._start_content(self._handshake())
        handlers: dict[FrameType, Callable[[Header], None]] = {
            FrameType.NEEDS: self._on_needs,
            FrameType.WANTS: self._on_wants,
            FrameType.TOKENS: self._on_tokens,
            FrameType.FILES_DONE: self._on_files_done,
            FrameType.FILE_FAILED: self._on_file_failed,
            FrameType.LANE_LOST: self._on_lane_lost,
            FrameType.TRACE: self._on_trace,
        }
        while (header := self._connection.receive()).type is not FrameType.FINISH:
            if header.type not in handlers:
                raise unexpected(header)
            handlers[header.type](header)
        self._finish = codec.decode_finish(self._connection.payload(header))
        self._lanes.end()
        if self._tells_spans:
            send_spans(self._connection, self._tracer)
        self._connection.send(FrameType.BYE)
        self._connection.finished()
        for part in (self._needed, self._literals, self._chunks, self._unasked, self._verifier):
            if part is not None:
                part.close()

    def _on_trace(self, header: Header) -> None:
        self._tracer.peer_spans.extend(codec.decode_spans(self._connection.payload(header)))

    def _start_content(self, terms: Terms) -> None:
        if terms.key != self._ahead.key:
            self._unasked.give_up()
        key = fingerprint_key(terms.key)
        self._in_flight = Window(self._scope, min(FILES_IN_FLIGHT, terms.files_in_flight))
        self._link = LinkRate(self._connection.stream.round_trip)
        self._level = self._options.compression if terms.zstd else COMPRESS_NOTHING
        self._packer = Packer(self._link, self._level)
        self._small = SmallSender(self._lanes, self._packer, key, self._options.chunking, self._monitor, self._refuse)
        self._pieces = LiteralQueue(self._literals, key, self._fail, self._on_literals)
        if self._options.weak_strong:
            self._verifier = Verifier(self._scope, self._connection, self._literals, self._options.workers, self._fail)
        announce = self._verifier.announce if self._verifier is not None else None
        self._chunks = ChunkSender(self._scope, self._lanes, key, self._options, self._monitor, announce, self._fail)
        self._scope.spawn(self._feed, name="feed")
        self._send_literals(None)
        if self._lanes.expected:
            self._lanes.start(self._scope, self._send_literals)
            self._scope.spawn(self._lanes.keep_alive, self._scope, name="lanes")

    def _send_literals(self, lane: Lane | None) -> None:
        packer = Packer(self._link, self._level)
        sender = LiteralSender(
            self._pieces, self._lanes, lane, packer, self._scope.span, self._on_literals, self._literals.put
        )
        name = "literals" if lane is None else f"literals {lane.number}"
        self._scope.spawn(sender.run, name=name)

    def _on_lane_lost(self, header: Header) -> None:
        self._scope.spawn(self._lanes.send_again, self._lanes.not_received(header.file, header.count), name="again")

    def _on_needs(self, header: Header) -> None:
        items = content.decode_needs(self._connection.payload(header))
        if header.count == 0:
            for item in items:
                self._send_again(item)
            return
        with self._lock:
            answered = {i: self._offered.pop(i, None) for i in range(header.file, header.file + header.count)}
        if None in answered.values():
            raise ProtocolError(f"needs for entries {header.file}..{header.file + header.count} that were not offered")
        self._unanswered.release(header.count - len(items))
        group: list[Needed] = []
        for item in items:
            offered = answered.pop(item.index, None)
            if offered is None or offered.entry.kind is not Kind.FILE:
                raise ProtocolError(f"need for entry {item.index}, which is not a file of this batch")
            needed = Needed(item.index, offered, item)
            if not self._accept(needed):
                group.append(needed)
        if group:
            self._needed.put(group, 0)
        if not items:
            self._unasked.give_up()
        self._monitor.advance(sum(offered.entry.size for offered in answered.values() if offered is not None))

    def _accept(self, needed: Needed) -> bool:
        """Go on with a file of which chunks were sent already; wants of it may be the next to come."""
        file = self._unasked.accept(needed)
        if file is None:
            return False
        self._in_flight.acquire()
        with self._lock:
            self._files[file.index] = file
        self._unanswered.release()
        self._unasked.go_on(file, self._chunks.send, self._fail)
        return True

    def _send_again(self, item: NeedItem) -> None:
        """What was rebuilt did not verify: send the file whole."""
        small = self._small.again(item)
        if small is not None:
            self._needed.put([small], 0)
            return
        file = self._file(item.index)
        if file is None:
            return
        if item.need is not Need.WHOLE or not file.start_over():
            raise ProtocolError(f"file {item.index} was asked for again and again")
        self._literals.put(LiteralTask.all_of(file))

    def _on_wants(self, header: Header) -> None:
        extents = self._connection.payload(header)
        file = self._file(header.file)
        if file is None or file.again:
            return  # the receiver planned this before it heard that the attempt was given up
        file.admit_wants(header.count)
        self._literals.put(LiteralTask(file, extents, whole=False))

    def _on_tokens(self, header: Header) -> None:
        tokens = self._connection.payload(header)
        if self._verifier is None:
            raise unexpected(header)
        file = self._file(header.file)
        if file is not None and not file.again:
            self._verifier.receive(file, header, tokens)

    def _on_files_done(self, header: Header) -> None:
        indices = codec.decode_indices(self._connection.payload(header))
        small = self._small.done(indices)
        for offered in small.values():
            self._monitor.emit("file", offered.entry.path)
        for index in indices:
            if index in small:
                continue
            file = self._file(index)
            if file is None:
                continue
            self._monitor.add(bytes_copied=file.size - file.literal_bytes)
            self._monitor.emit("file", file.offered.entry.path)
            self._forget(file)

    def _on_file_failed(self, header: Header) -> None:
        failed = codec.decode_failed(self._connection.payload(header))
        self._monitor.emit("failed", failed.path, failed.message)
        self._small.done([header.file])
        with self._lock:
            file = self._files.get(header.file)
        if file is not None:
            self._forget(file)

    def _file(self, index: int) -> OutgoingFile | None:
        """A file in flight; None if it was given up here, which the peer may not have heard yet."""
        with self._lock:
            file = self._files.get(index)
            if file is None and index not in self._failed:
                raise ProtocolError(f"file {index} is not in flight")
            return file

    # -- content ----------------------------------------------------------------------------

    def _feed(self) -> None:
        small = self._small
        while True:
            if small.waiting and self._needed.empty():
                small.flush()
            try:
                group = self._needed.get()
            except EOFError:
                return
            for needed in group:
                if is_small(needed):
                    small.add(needed)
                    continue
                try:
                    self._start_file(needed)
                except (OSError, ChangedError) as error:
                    self._refuse(needed, error)
            self._unanswered.release(sum(not needed.again for needed in group))

    def _refuse(self, needed: Needed, error: Exception) -> None:
        failed = failure_of(error, needed.offered.entry.path)
        send_failure(self._connection, failed, needed.number)
        self._monitor.emit("failed", failed.path, failed.message)

    def _start_file(self, needed: Needed) -> None:
        self._in_flight.acquire()
        try:
            file = OutgoingFile(needed.number, needed.offered, needed.item, self._options)
        except BaseException:
            self._in_flight.release()
            raise
        with self._lock:
            self._files[needed.number] = file
        if file.table is None:
            self._literals.put(LiteralTask.all_of(file))
        else:
            self._chunks.start(file, file.table)

    def _on_literals(self, file: OutgoingFile, length: int) -> None:
        """`length` bytes of literals were sent; negative: that many announced as chunks turned out to be wanted."""
        self._monitor.advance(length)
        if length > 0:
            file.count_literal(length)
            self._monitor.add(bytes_literal=length)

    def _fail(self, file: OutgoingFile, error: Exception) -> None:
        """A source file cannot be read to its end: this file fails, the rest goes on."""
        failed = failure_of(error, file.offered.entry.path)
        with self._lock:
            self._failed.add(file.index)
        if self._forget(file):
            self._monitor.emit("failed", failed.path, failed.message)
            send_failure(self._connection, failed, file.index)

    def _forget(self, file: OutgoingFile) -> bool:
        with self._lock:
            known = self._files.pop(file.index, None) is not None
        if known:
            file.close()
            self._in_flight.release()
        return known
