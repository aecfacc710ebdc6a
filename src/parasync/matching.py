"""PHASE II: streaming matching, planned by the receiver (ParaSync 3.2).

The paper's receiver answers checksums with tokens and its sender issues the
commands. Here one keyed fingerprint serves as weak and strong checksum, so the
receiver, who knows the basis and is told the target's chunks, needs no second
exchange:

1. Batches of target chunks arrive while both sides still chunk.
2. Each is looked up at once in an index of the basis that is still growing;
   hits become copies, which never cross the network.
3. As the basis grows, its new chunks are looked up among the misses. Once it
   is fully indexed, what is still missing becomes wants, streamed back batch by
   batch, while later target batches are still to come.

Nothing here blocks, reads or sends: the session drives it. An interruption
leaves nothing behind.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from parasync.config import COPY_BYTES
from parasync.kernels import ChunkIndex, ChunkMatcher, ChunkTable


class Answer(NamedTuple):
    """What a step of matching produced: packed copies (24 B each) and wants (extents, 16 B each) of the target.

    The copies are of `matched` bytes. `basis_complete` says that the whole basis was looked up; before that nothing is
    wanted.
    """

    copies: bytes
    matched: int
    wants: bytes
    basis_complete: bool


class BasisSide:
    """The growing index of one basis. Written by the thread that merges its chunks, read by the matcher."""

    def __init__(self, table: ChunkTable) -> None:
        self.table = table
        self.index = ChunkIndex(table)
        self._lock = threading.Lock()
        self._indexed = 0
        self._complete = table.size == 0

    def add(self, first: int, count: int, last: bool) -> None:
        """Index chunks [first, first + count) of the basis; `last` says that these complete it."""
        self.index.insert(first, count)
        with self._lock:
            self._indexed = first + count
            self._complete = last

    def give_up(self) -> None:
        """The rest of the basis cannot be read: what is indexed is all there will be."""
        with self._lock:
            self._complete = True

    def progress(self) -> tuple[int, bool]:
        """(chunks indexed, whether these are all)."""
        with self._lock:
            return self._indexed, self._complete


class Matching:
    """Matches one target with one basis. `step` is called whenever either side has grown, by any thread."""

    def __init__(self, target: ChunkTable, basis: BasisSide) -> None:
        self._target = target
        self._basis = basis
        self._matcher = ChunkMatcher(target, basis.index, COPY_BYTES, growing=True)
        self._seen = 0
        self._indexed = 0
        self._complete = False
        self._lock = threading.Lock()

    def hopeless(self, enough: int) -> bool:
        """Whether `enough` bytes of either side, or all of the basis, were compared without a single match."""
        with self._lock:
            if self._matcher.matched_bytes or self._target.end < enough:
                return False
        return self._basis.table.end >= min(enough, self._basis.table.size)

    def step(self, target_chunks: int) -> Answer:
        """Match what is new; `target_chunks` of the target are in its table.

        Copies and wants of all steps together cover the target exactly once.
        """
        with self._lock:
            return self._step(target_chunks)

    def _step(self, target_chunks: int) -> Answer:
        # Read once, before the look-up: chunks indexed in between would else be wanted although they are there.
        indexed, basis_complete = self._basis.progress()
        before = self._matcher.matched_bytes
        copies = self._matcher.grow(self._indexed, indexed - self._indexed)
        self._indexed = indexed
        if basis_complete and not self._complete:
            self._complete = True
            copies += self._matcher.rematch()
        if target_chunks > self._seen:
            copies += self._matcher.match(self._seen, target_chunks - self._seen)
            self._seen = target_chunks
        wants = self._matcher.take_wants() if basis_complete and self._matcher.missing else b""
        return Answer(copies, self._matcher.matched_bytes - before, wants, basis_complete)
