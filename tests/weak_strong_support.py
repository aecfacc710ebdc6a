"""Both halves of weak + strong matching, driven by a test event by event, without sockets or threads."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator

from native_support import KEY, extents
from parasync.kernels import ChunkTable, Merger, Segment
from parasync.weak_strong import EXTENT_BYTES, TOKEN_BYTES, Slice, TentativeSide, VerifyingSide

POLYNOMIAL = (1 | 0x82F63B78 << 1).to_bytes(5, "little")
"""CRC32C's, as bytes: added to bytes anywhere, it leaves their checksum as it is."""


def colliding(data: bytes, position: int) -> bytes:
    """Other bytes of the same length and CRC32C."""
    changed = bytearray(data)
    for i, byte in enumerate(POLYNOMIAL):
        changed[position + i] ^= byte
    return bytes(changed)


def memory_file(data: bytes) -> int:
    """A descriptor of a file with this content."""
    fd = os.memfd_create("content")
    if data.count(0) == len(data):
        os.ftruncate(fd, len(data))  # takes no memory
    else:
        os.write(fd, data)
    return fd


def growing(fd: int, table: ChunkTable, segment_bytes: int, rule: str = "default") -> Iterator[tuple[int, int, bool]]:
    """Phase I, segment by segment: (first chunk, count, whether these are the last), where there are any."""
    segment = Segment(segment_bytes)
    merger = Merger(KEY, table, rule)
    for offset, length in extents(table.size, [segment_bytes]):
        segment.scan_file(KEY, table.average, fd, offset, length, rule, True)
        first = len(table)
        if count := merger.merge(segment):
            yield first, count, table.end == table.size


def unpacked(records: bytes, shape: str) -> list[tuple[int, ...]]:
    return list(struct.iter_unpack(shape, records))


class Exchange:
    """One file's matching from both sides. `step` does something that may happen next; what was done is counted."""

    def __init__(self, basis: bytes, target: bytes, average: int, segment_bytes: int, rule: str = "default") -> None:
        self.basis, self.target = basis, target
        self._fds = memory_file(basis), memory_file(target)
        self.basis_table = ChunkTable(average, len(basis), True)
        self.target_table = ChunkTable(average, len(target), True)
        self.receiver = TentativeSide(self.basis_table, self._fds[0], len(target))
        self.sender = VerifyingSide(self.target_table, self._fds[1])
        self._basis_chunks = growing(self._fds[0], self.basis_table, segment_bytes, rule)
        self._target_chunks = growing(self._fds[1], self.target_table, segment_bytes, rule)
        self._weak_way: list[bytes] = []
        self._slices: list[Slice] = []
        self._token_way: list[tuple[int, bytes]] = []
        self._answer_way: list[tuple[int, bytes]] = []
        self.sent: list[int] = []
        self.hashed_here: list[int] = []
        self.hashed_there: list[tuple[int, ...]] = []
        self.tokens: list[tuple[int, ...]] = []
        self.copies: list[tuple[int, ...]] = []
        self.literals: list[tuple[int, ...]] = []
        self.slices: list[int] = []

    def close(self) -> None:
        self.receiver.close()
        self.sender.close()
        for fd in self._fds:
            os.close(fd)

    def run(self, rng: random.Random) -> None:
        """Until nothing more can happen; in any order."""
        steps = [
            self.grow_basis,
            self.grow_target,
            self.deliver_weak,
            self.take,
            self.hash_slice,
            self.deliver_tokens,
            self.deliver_answer,
            self.say_news,
        ]
        while any(step(rng) for step in rng.sample(steps, len(steps))):
            pass

    def grow_basis(self, rng: random.Random) -> bool:
        grown = next(self._basis_chunks, None)
        if grown is not None:
            self.receiver.add(*grown)
        return grown is not None

    def grow_target(self, rng: random.Random) -> bool:
        grown = next(self._target_chunks, None)
        if grown is None:
            return False
        weak = self.sender.add(grown[0], grown[1])
        self.sent += [value for (value,) in unpacked(weak, "<I")]
        if weak:
            self._weak_way.append(weak)
        self.verify()
        return True

    def deliver_weak(self, rng: random.Random) -> bool:
        if not self._weak_way:
            return False
        weak = self._weak_way.pop(0)
        self.receiver.add_values(weak, len(weak) // 4)
        return True

    def take(self, rng: random.Random) -> bool:
        taken = self.receiver.take()
        self.slices += [len(part) for part in taken]
        self.hashed_here += [number for part in taken for (number,) in unpacked(part.numbers, "<I")]
        self._slices += taken
        return bool(taken)

    def hash_slice(self, rng: random.Random) -> bool:
        """Slices end in any order."""
        if not self._slices:
            return False
        part = self._slices.pop(rng.randrange(len(self._slices)))
        described = self.receiver.describe(part)
        resolved = self.receiver.finish(part, len(described) // TOKEN_BYTES)
        self.tokens += unpacked(described, "<IIQ32s")
        self._token_way.append((resolved, described))
        return True

    def say_news(self, rng: random.Random) -> bool:
        resolved = self.receiver.news()
        if resolved is not None:
            self._token_way.append((resolved, b""))
        return resolved is not None

    def deliver_tokens(self, rng: random.Random) -> bool:
        if not self._token_way:
            return False
        resolved, tokens = self._token_way.pop(0)
        self.sender.receive(tokens, len(tokens) // TOKEN_BYTES, resolved)
        if rng.random() < 0.7 or not self._token_way:
            self.verify()
        return True

    def verify(self) -> None:
        wanted = self.sender.begin()
        self.hashed_there += unpacked(wanted, "<QQ")
        strong = self.sender.hash(wanted)
        assert strong is not None
        assert len(strong) == 32 * (len(wanted) // EXTENT_BYTES)
        commands = self.sender.confirm(strong)
        self.copies += unpacked(commands.copies, "<QQQ")
        self.literals += unpacked(commands.literals, "<QQ")
        if commands.copies or commands.verified:
            self._answer_way.append((commands.verified, commands.copies))

    def deliver_answer(self, rng: random.Random) -> bool:
        if not self._answer_way:
            return False
        self.receiver.answered(*self._answer_way.pop(0))
        return True

    def rebuilt(self) -> bytes:
        """What the commands make; each byte must come exactly once."""
        result = bytearray(len(self.target))
        covered = bytearray(len(self.target))
        for target_offset, basis_offset, length in self.copies:
            result[target_offset : target_offset + length] = self.basis[basis_offset : basis_offset + length]
            assert not any(covered[target_offset : target_offset + length])
            covered[target_offset : target_offset + length] = b"\1" * length
        for offset, length in self.literals:
            result[offset : offset + length] = self.target[offset : offset + length]
            assert not any(covered[offset : offset + length])
            covered[offset : offset + length] = b"\1" * length
        assert all(covered)
        return bytes(result)
