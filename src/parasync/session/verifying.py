"""The sender's verification: tokens in, copies and literals out (ParaSync 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from parasync.config import SLICE_CHUNKS, TOKENS_IN_FLIGHT
from parasync.errors import ProtocolError, display
from parasync.pipeline import Channel, Scope
from parasync.reconstruction import WriterPool
from parasync.session.connection import Connection, unexpected
from parasync.session.literals import LiteralTask
from parasync.session.outgoing import OutgoingFile
from parasync.weak_strong import EXTENT_BYTES, Commands, VerifyingSide
from parasync.wire import batches
from parasync.wire.messages import COPY_BYTES, MAX_BATCH, WEAK_BYTES, FrameType, Header

_Hashed = tuple[int, bytes | Exception | None]
"""(number of the slice, its strong checksums, or None for a file that was given up, or why there are none)."""


class Verifier:
    """Takes the tokens of all files in flight, batch by batch: as many as came while the last batch was verified.

    One thread goes from batch to batch; the slices of each are hashed by a pool.
    """

    def __init__(
        self,
        scope: Scope,
        connection: Connection,
        literals: Channel[LiteralTask],
        workers: int,
        failed: Callable[[OutgoingFile, Exception], None],
    ) -> None:
        self._scope = scope
        self._connection = connection
        self._literals = literals
        self._failed = failed
        self._grown: Channel[OutgoingFile] = Channel(scope, 1 << 62)
        self._pool = WriterPool(scope, workers, TOKENS_IN_FLIGHT, "strong")
        self._hashed: Channel[_Hashed] = Channel(scope, 1 << 62)
        scope.spawn(self._run, name="verify")

    def announce(self, file: OutgoingFile, first: int, count: int) -> None:
        """Send the weak checksums that chunks [first, first + count) of a file are the first to have."""
        side = file.verifying
        if side is None:
            return
        weak = side.add(first, count)
        for start in range(0, len(weak), MAX_BATCH * WEAK_BYTES):
            part = weak[start : start + MAX_BATCH * WEAK_BYTES]
            self._send(file, side, FrameType.WEAK, part, count=len(part) // WEAK_BYTES)
        # Chunks whose checksum was answered before they came wait for nobody else.
        self._poke(file, side)

    def receive(self, file: OutgoingFile, header: Header, payload: bytearray) -> None:
        """Tokens of a file came; for the receiving thread.

        Raises:
            ProtocolError: they do not belong here, or are more than the receiver may send.
        """
        if file.verifying is None:
            raise unexpected(header)
        resolved, tokens = batches.decode_tokens(payload)
        try:
            file.verifying.receive(tokens, header.count, resolved)
        except ValueError as error:
            raise _bad_tokens(file, error) from None
        self._poke(file, file.verifying)

    def close(self) -> None:
        """No more files follow."""
        self._grown.close()
        self._pool.close()

    # The receiver may give a file up, or be done with it, and end the session while this side still works on it: what
    # comes of that work is nobody's any more.

    def _poke(self, file: OutgoingFile, side: VerifyingSide) -> None:
        if file.mark():
            try:
                self._grown.put(file, 0)
            except ValueError:
                if not side.closed:
                    raise

    def _send(self, file: OutgoingFile, side: VerifyingSide, kind: FrameType, *payload: bytes, count: int) -> None:
        try:
            self._connection.send(kind, *payload, file=file.index, count=count)
        except ProtocolError:
            if not side.closed:
                raise

    def _want(self, file: OutgoingFile, side: VerifyingSide, literals: bytes) -> None:
        try:
            self._literals.put(LiteralTask(file, literals))
        except ValueError:
            if not side.closed:
                raise

    def _run(self) -> None:
        for file in self._grown:
            file.unmark()
            side = file.verifying
            if side is None or file.again:
                continue
            try:
                with self._scope.span("verify"):
                    commands = self._verify(side)
            except ValueError as error:
                raise _bad_tokens(file, error) from None
            except (OSError, EOFError) as error:
                self._failed(file, error)
                continue
            if commands is not None:
                self._command(file, side, commands)

    def _verify(self, side: VerifyingSide) -> Commands | None:
        strong = self._hash(side, side.begin())
        return None if strong is None else side.confirm(strong)

    def _hash(self, side: VerifyingSide, extents: bytes) -> bytes | None:
        """Strong checksums of all these extents, by all threads of the pool."""
        size = SLICE_CHUNKS * EXTENT_BYTES
        if len(extents) <= size:
            return side.hash(extents)
        slices = [extents[start : start + size] for start in range(0, len(extents), size)]
        for number, part in enumerate(slices):
            self._pool.submit(partial(self._hash_slice, side, number, part), len(part) // EXTENT_BYTES)
        found = dict(self._hashed.get() for _ in slices)
        parts: list[bytes] = []
        for number in range(len(slices)):
            strong = found[number]
            if isinstance(strong, Exception):
                raise strong
            if strong is None:
                return None
            parts.append(strong)
        return b"".join(parts)

    def _hash_slice(self, side: VerifyingSide, number: int, extents: bytes) -> None:
        try:
            self._hashed.put((number, side.hash(extents)))
        except (OSError, EOFError) as error:
            self._hashed.put((number, error))

    def _command(self, file: OutgoingFile, side: VerifyingSide, commands: Commands) -> None:
        # Literals are read by another thread: they can be on their way while the copies leave.
        if commands.literals:
            self._want(file, side, commands.literals)
        verified = commands.verified
        for start in range(0, len(commands.copies) or 1, MAX_BATCH * COPY_BYTES):
            part = commands.copies[start : start + MAX_BATCH * COPY_BYTES]
            if part or verified:
                mark = batches.encode_mark(verified)
                self._send(file, side, FrameType.COPIES, mark, part, count=len(part) // COPY_BYTES)
            verified = 0


def _bad_tokens(file: OutgoingFile, error: ValueError) -> ProtocolError:
    return ProtocolError(f"bad tokens of '{display(file.offered.entry.path)}': {error}")
