"""The receiver's tokens: tentative matches hashed by a pool, and told slice by slice (ParaSync 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from parasync.config import TOKENS_IN_FLIGHT
from parasync.errors import ProtocolError, display
from parasync.pipeline import Scope
from parasync.reconstruction import WriterPool
from parasync.session.connection import Connection
from parasync.session.incoming import IncomingFile
from parasync.weak_strong import TOKEN_BYTES, Slice, TentativeSide
from parasync.wire import batches
from parasync.wire.messages import Flags, FrameType, Header


class TokenSender:
    """Hashes tentative matches of all files in flight and sends their tokens.

    `values` and `copies` are for the receiving thread, `advance` is for the
    matcher's. A slice's tokens leave from the thread that hashed it.
    """

    def __init__(
        self, scope: Scope, connection: Connection, workers: int, poke: Callable[[IncomingFile], None]
    ) -> None:
        self._connection = connection
        self._poke = poke
        self._pool = WriterPool(scope, workers, TOKENS_IN_FLIGHT, "strong")

    def values(self, file: IncomingFile, header: Header, payload: bytearray) -> None:
        """Weak checksums of a file's target came.

        Raises:
            ProtocolError: they do not belong here, or one came before.
        """
        side = file.tentative_side(bool(header.flags & Flags.RETRY))
        if side is None:
            return
        try:
            side.add_values(payload, header.count)
        except ValueError as error:
            raise ProtocolError(f"bad weak checksums of '{display(file.path)}': {error}") from None
        self._poke(file)

    def copies(self, file: IncomingFile, payload: bytearray) -> bytes:
        """The copies (24 B each) that the sender commands, in answer to tokens; none if nobody waits for them any more.

        Raises:
            ProtocolError: they do not belong here, or lead outside of basis or target.
        """
        side = file.tentative_side(retry=False)
        if side is None:
            return b""
        verified, copies = batches.decode_copies(payload)
        try:
            side.answered(verified, copies)
        except ValueError as error:
            raise ProtocolError(f"bad copies of '{display(file.path)}': {error}") from None
        self._poke(file)
        return copies

    def advance(self, file: IncomingFile) -> None:
        """Hash what waits, and say what is resolved without it."""
        side = file.tentative
        if side is None:
            return
        for part in side.take():
            self._pool.submit(partial(self._tell, file, side, part), len(part))
        with side.telling:
            resolved = None if side.closed else side.news()
            if resolved is not None:
                self._send(file, resolved, b"")

    def close(self) -> None:
        """No more files follow."""
        self._pool.close()

    def _tell(self, file: IncomingFile, side: TentativeSide, part: Slice) -> None:
        described = side.describe(part)
        with side.telling:
            if side.closed:
                return
            self._send(file, side.finish(part, len(described) // TOKEN_BYTES), described)
            # Equal chunks have one token: there may be room for more.
            self._poke(file)

    def _send(self, file: IncomingFile, resolved: int, tokens: bytes) -> None:
        count = len(tokens) // TOKEN_BYTES
        self._connection.send(FrameType.TOKENS, batches.encode_mark(resolved), tokens, file=file.index, count=count)
