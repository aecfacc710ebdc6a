"""PHASE II as the paper has it: weak checksums, tokens, commands (ParaSync 3.2).

1. The sender streams the weak checksums of its chunks while it still chunks,
   each distinct one once.
2. The receiver joins them with its basis, which grows meanwhile. Every chunk of
   the basis that has one of them is a tentative match: it is hashed, in slices,
   and described by a token that leaves with its slice. How many chunks share a
   checksum does not matter: slices are cut from all of them.
3. The sender hashes its own chunks of these checksums, in slices too, verifies
   them in a small table per batch of tokens, and issues copies. When the
   receiver says that a checksum is resolved, that no more tokens of it come,
   what no token confirmed is a literal.

Chunks are columns of the native core throughout. Nothing here reads a socket or
sends: the session drives it. An interruption leaves nothing behind.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from parasync.config import COPY_BYTES, SLICE_CHUNKS, TOKENS_IN_FLIGHT
from parasync.kernels import ChunkTable, StrongMatcher, TentativeMatcher, blake3_extents, check_copies, tokens

if TYPE_CHECKING:
    from typing_extensions import Buffer

EXTENT_BYTES = 16
NUMBER_BYTES = 4
TOKEN_BYTES = 48


class HashedFile:
    """A file whose extents are hashed by many threads. Works on a duplicate of the descriptor it is given."""

    def __init__(self, fd: int) -> None:
        self._fd = os.dup(fd)
        self._users = 0
        self._closed = False
        self._lock = threading.Lock()

    def hash(self, extents: Buffer) -> bytes | None:
        """Strong checksums (32 B each) of packed extents; None if the file was given up.

        Raises:
            OSError: a read failed.
            EOFError: the file is shorter than it was.
        """
        with self._lock:
            if self._closed:
                return None
            self._users += 1
        try:
            return blake3_extents(self._fd, extents)
        finally:
            with self._lock:
                self._users -= 1
                self._close_if_unused()

    def close(self) -> None:
        """Hash no more; idempotent."""
        with self._lock:
            self._closed = True
            self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._closed and self._users == 0 and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Slice:
    """Some tentative matches: the unit of work. `numbers` are of the basis's chunks (u32 each)."""

    def __init__(self, numbers: bytes, resolved: int) -> None:
        self.numbers = numbers
        self.resolved = resolved
        self.done = False

    def __len__(self) -> int:
        return len(self.numbers) // NUMBER_BYTES


class TentativeSide:
    """The receiver's half for one file: tentative matches in, tokens out. Any thread may call.

    Only `TOKENS_IN_FLIGHT` tokens are computed ahead of the sender's answers,
    so neither side has to remember more.
    """

    def __init__(self, basis: ChunkTable, fd: int, target_size: int) -> None:
        self.table = basis
        self.telling = threading.Lock()
        """Held from `finish` or `news` until what they returned is sent: no word overtakes the tokens before it, and
        none is sent of a closed file."""
        self.closed = False
        self.hashed_bytes = 0
        self._file = HashedFile(fd)
        self._target_size = target_size
        self._matcher = TentativeMatcher(basis)
        self._most_values = target_size // (basis.average // 2) + 1
        self._flying: deque[Slice] = deque()
        self._out = 0
        self._unanswered = 0
        self._told = 0
        self._resolved = 0
        self._commanded = 0
        self._lock = threading.Lock()
        if basis.size == 0:
            self._matcher.seal()

    def add(self, first: int, count: int, last: bool) -> None:
        """Chunks [first, first + count) of the basis are there; `last` says that these complete it."""
        with self._lock:
            self._matcher.add_chunks(first, count)
            if last:
                self._matcher.seal()

    def give_up(self) -> None:
        """The rest of the basis cannot be read: what is there is all there will be."""
        with self._lock:
            self._matcher.seal()

    def add_values(self, weak: Buffer, count: int) -> None:
        """The sender's next `count` weak checksums (u32 each).

        Raises:
            ValueError: one came before, or there are more than the target can have chunks.
        """
        with self._lock:
            if self._matcher.values + count > self._most_values:
                raise ValueError(f"more than the {self._most_values} weak checksums that a file of this size can have")
            self._matcher.add_values(weak)

    def take(self) -> list[Slice]:
        """Slices to hash now: of all that waits, as many as may be in flight."""
        slices: list[Slice] = []
        with self._lock:
            while (free := TOKENS_IN_FLIGHT - self._out) > 0:
                numbers = self._matcher.take(min(free, SLICE_CHUNKS))
                if not numbers:
                    break
                slices.append(Slice(numbers, self._matcher.resolved))
                self._out += len(slices[-1])
            self._flying.extend(slices)
        return slices

    def describe(self, part: Slice) -> bytes:
        """Hash a slice: its tokens (48 B each), of equal chunks one; none where the basis cannot be read any more."""
        extents = self.table.extents(part.numbers)
        try:
            strong = self._file.hash(extents)
        except (OSError, EOFError):
            return b""
        if strong is None:
            return b""
        with self._lock:
            self.hashed_bytes += sum(memoryview(extents).cast("Q")[1::2])
        return tokens(self.table, part.numbers, strong)

    def finish(self, part: Slice, count: int) -> int:
        """`count` tokens of a slice are about to be sent; how many checksums are resolved with them."""
        with self._lock:
            part.done = True
            self._out -= len(part) - count
            self._unanswered += count
            while self._flying and self._flying[0].done:
                self._resolved = self._flying.popleft().resolved
            if not self._flying:
                self._resolved = self._matcher.resolved
            self._told = self._resolved
            return self._resolved

    def news(self) -> int | None:
        """How many checksums are resolved, if that is to be said without tokens."""
        with self._lock:
            if self._flying or self._matcher.resolved == self._told:
                return None
            self._told = self._resolved = self._matcher.resolved
            return self._told

    def answered(self, count: int, copies: Buffer) -> None:
        """The sender has verified `count` more tokens and commands `copies` (24 B each).

        Raises:
            ValueError: there were not so many tokens, or copies leave basis or target, or are more than the target.
        """
        with self._lock:
            if count > self._unanswered:
                raise ValueError(f"an answer to {count} tokens, where {self._unanswered} were sent")
            size = check_copies(copies, self._target_size, self.table.size)
            self._commanded += size
            if self._commanded > self._target_size:
                raise ValueError("copies of more than the file")
            self._unanswered -= count
            self._out -= count

    def close(self) -> None:
        """Hash and tell no more; waits until what is being told is sent. Idempotent."""
        with self.telling:
            self.closed = True
        self._file.close()


class Commands(NamedTuple):
    """What a batch of tokens became: packed copies (24 B each), literals (extents, 16 B each), tokens verified."""

    copies: bytes
    literals: bytes
    verified: int


class VerifyingSide:
    """The sender's half for one file: tokens in, commands out.

    `add` and `receive` may be called by any thread; `begin` and `confirm` by one at a time.
    """

    def __init__(self, target: ChunkTable, fd: int) -> None:
        self._target = target
        self._file = HashedFile(fd)
        self._matcher = StrongMatcher(target, COPY_BYTES)
        self.closed = False
        self._tokens: list[Buffer] = []
        self._unverified = 0
        self._batch = 0
        self._batch_resolved = 0
        self._resolved = 0
        self._lock = threading.Lock()

    def add(self, first: int, count: int) -> bytes:
        """Chunks [first, first + count) of the target are there; their new weak checksums (u32 each)."""
        with self._lock:
            return self._matcher.add(first, count)

    def receive(self, batch: Buffer, count: int, resolved: int) -> None:
        """`count` tokens (48 B each), and how many checksums are resolved with them.

        Raises:
            ValueError: more tokens are unanswered than may be, or more checksums are resolved than there are.
        """
        with self._lock:
            self._unverified += count
            if self._unverified > TOKENS_IN_FLIGHT:
                raise ValueError(f"more than {TOKENS_IN_FLIGHT} tokens without an answer")
            if not self._resolved <= resolved <= self._matcher.values:
                raise ValueError(f"{resolved} checksums are resolved, of {self._matcher.values}")
            self._resolved = resolved
            if count:
                self._tokens.append(batch)

    def begin(self) -> bytes:
        """A batch of all tokens that came: extents of the chunks that are to be hashed for it.

        Raises:
            ValueError: a token is of no checksum that was sent.
        """
        with self._lock:
            tokens_in, self._tokens = self._tokens, []
            self._batch, self._batch_resolved = self._unverified, self._resolved
            return self._target.extents(self._matcher.begin(b"".join(tokens_in)))

    def hash(self, extents: Buffer) -> bytes | None:
        """Strong checksums (32 B each) of a slice of these extents; None if the file was given up.

        Raises:
            OSError: a read failed.
            EOFError: the file is shorter than it was.
        """
        return self._file.hash(extents)

    def confirm(self, strong: bytes) -> Commands:
        """End the batch, given the strong checksums of what was to be hashed."""
        with self._lock:
            copies = self._matcher.confirm(strong)
            self._unverified -= self._batch
            return Commands(copies, self._matcher.take_literals(self._batch_resolved), self._batch)

    @property
    def hashed_bytes(self) -> int:
        """Bytes of the target that were hashed."""
        return self._matcher.hashed_bytes

    def close(self) -> None:
        """Hash no more; idempotent."""
        self.closed = True
        self._file.close()
