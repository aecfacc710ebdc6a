"""Phase III as each structure does it, between two sides of a link (ParaSync 3.3, figure 20).

With relative offsets a command's place is the end of the one before it, so commands are applied in order, by one
thread. With absolute ones copies are applied by one thread while another writes literals as they come.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from benchmarks.paper.baselines.chunking import KEY
from benchmarks.paper.baselines.link import Frame, Kind, Link
from benchmarks.paper.baselines.matching import NONE, Chunks
from benchmarks.paper.baselines.structure import Structure
from benchmarks.paper.library import library
from parasync.config import COPY_BYTES, LITERAL_BYTES
from parasync.kernels import LiteralReader, TargetWriter
from parasync.pipeline import Channel, Scope

RECORD = struct.Struct("<QQQ")
"""Target offset, basis offset (NONE: a literal), length."""
RELATIVE = struct.Struct("<QI")
"""Basis offset, length."""
EXTENT = struct.Struct("<QQ")
COPIES_PER_FRAME = 4096
EXTENTS_PER_PIECE = 4096
QUEUE_BYTES = 4 << 20
"""Little, so that buffers are reused: first touches of memory are slow on a virtual machine."""


class Operation(NamedTuple):
    """A copy, or a literal if `basis` is NONE."""

    target: int
    basis: int
    length: int


class Part(NamedTuple):
    """Consecutive operations that travel together, and how many bytes of literals they have."""

    operations: list[Operation]
    literal_bytes: int


def plan(chunks: Chunks, matches: ctypes.Array[ctypes.c_uint64]) -> list[Operation]:
    """The delta in the target's order; no operation is longer than a literal's piece."""
    out = (ctypes.c_uint64 * (3 * chunks.total))()
    limit = min(COPY_BYTES, LITERAL_BYTES)
    count = library().plan_delta(chunks.lengths, matches, chunks.total, limit, out)
    return [Operation(*record) for record in RECORD.iter_unpack(memoryview(out).cast("B")[: RECORD.size * count])]


def in_parts(operations: list[Operation]) -> Iterator[Part]:
    """The delta cut into parts of up to a piece of literals."""
    part: list[Operation] = []
    size = 0
    for one in operations:
        literal = one.length if one.basis == NONE else 0
        if part and (size + literal > LITERAL_BYTES or len(part) == EXTENTS_PER_PIECE):
            yield Part(part, size)
            part, size = [], 0
        part.append(one)
        size += literal
    if part:
        yield Part(part, size)


def extents_of(operations: list[Operation]) -> bytes:
    """The literals among them, packed."""
    return b"".join(EXTENT.pack(one.target, one.length) for one in operations if one.basis == NONE)


def copies_of(operations: list[Operation]) -> bytes:
    """The copies among them, packed."""
    return b"".join(RECORD.pack(*one) for one in operations if one.basis != NONE)


# -- the sender -----------------------------------------------------------------------------------


def send_delta(structure: Structure, operations: list[Operation], fd: int, size: int, link: Link) -> None:
    """Send commands and literals of a target of `size` bytes."""
    if structure.absolute:
        _send_absolute(operations, fd, size, link)
    elif structure.pipelined:
        with Scope("sender") as scope:
            ready: Channel[tuple[Part, bytearray]] = Channel(scope, QUEUE_BYTES)
            scope.spawn(_read_parts, operations, fd, size, ready)
            for part, literals in ready:
                _send_part(part, literals, link)
    else:
        for part in in_parts(operations):
            _send_part(part, _literals(part, fd, size), link)
    link.send(Kind.DELTA_END)


def _read_parts(operations: list[Operation], fd: int, size: int, ready: Channel[tuple[Part, bytearray]]) -> None:
    for part in in_parts(operations):
        ready.put((part, _literals(part, fd, size)), part.literal_bytes + 1)
    ready.close()


def _literals(part: Part, fd: int, size: int) -> bytearray:
    data = bytearray(part.literal_bytes)
    if data:
        LiteralReader(fd, extents_of(part.operations), size, None).fill(data, len(part.operations))
    return data


def _send_part(part: Part, literals: bytearray, link: Link) -> None:
    commands = b"".join(RELATIVE.pack(one.basis, one.length) for one in part.operations)
    link.send(Kind.COMMANDS, commands, literals, count=len(part.operations))


def _send_absolute(operations: list[Operation], fd: int, size: int, link: Link) -> None:
    """Copies first, which cost little on the wire: they keep the receiver busy while literals come."""
    copies = copies_of(operations)
    step = RECORD.size * COPIES_PER_FRAME
    for first in range(0, len(copies), step):
        link.send(Kind.COPIES, copies[first : first + step])
    extents = extents_of(operations)
    if not extents:
        return
    reader = LiteralReader(fd, extents, size, None)
    piece = bytearray(LITERAL_BYTES)
    while True:
        filled, length = reader.fill(piece, EXTENTS_PER_PIECE)
        if not length:
            return
        count = len(filled) // EXTENT.size
        link.send(Kind.LITERALS, filled, memoryview(piece)[:length], count=count)


# -- the receiver ---------------------------------------------------------------------------------


def receive_delta(structure: Structure, target_fd: int, basis_fd: int, size: int, link: Link) -> None:
    """Apply commands and literals until the sender says that there are no more.

    Raises:
        ValueError: they did not cover the target.
    """
    os.ftruncate(target_fd, size)
    writer = TargetWriter(target_fd, size, KEY)
    if structure.absolute:
        _receive_absolute(writer, basis_fd, link)
    else:
        apply = InOrder(writer, basis_fd)
        if structure.pipelined:
            with Scope("receiver") as scope:
                frames: Channel[Frame] = Channel(scope, QUEUE_BYTES)
                scope.spawn(_apply_all, frames, apply)
                while (frame := link.receive()).kind is Kind.COMMANDS:
                    frames.put(frame, len(frame.payload))
                frames.close()
        else:
            while (frame := link.receive()).kind is Kind.COMMANDS:
                apply(frame)
    if writer.written != size:
        raise ValueError(f"{writer.written} of {size} bytes were written")


class InOrder:
    """Applies relative commands: each begins where the one before it ended."""

    def __init__(self, writer: TargetWriter, basis_fd: int) -> None:
        self._writer = writer
        self._basis_fd = basis_fd
        self._end = 0

    def __call__(self, frame: Frame) -> None:
        commands = memoryview(frame.payload)[: RELATIVE.size * frame.entries]
        operations = []
        for basis, length in RELATIVE.iter_unpack(commands):
            operations.append(Operation(self._end, basis, length))
            self._end += length
        # Within a part the order does not matter: one thread does it all.
        self._writer.copy(self._basis_fd, copies_of(operations))
        extents = extents_of(operations)
        if extents:
            self._writer.literal(extents, memoryview(frame.payload)[len(commands) :])


def _apply_all(frames: Channel[Frame], apply: Callable[[Frame], None]) -> None:
    for frame in frames:
        apply(frame)


def _receive_absolute(writer: TargetWriter, basis_fd: int, link: Link) -> None:
    """One thread receives, one copies, one writes literals."""
    with Scope("receiver") as scope:
        copies: Channel[Frame] = Channel(scope, QUEUE_BYTES)
        literals: Channel[Frame] = Channel(scope, QUEUE_BYTES)

        def copy(frame: Frame) -> None:
            writer.copy(basis_fd, frame.payload)

        def write(frame: Frame) -> None:
            split = EXTENT.size * frame.entries
            view = memoryview(frame.payload)
            writer.literal(view[:split], view[split:])

        scope.spawn(partial(_apply_all, copies, copy), name="copy")
        scope.spawn(partial(_apply_all, literals, write), name="literal")
        while (frame := link.receive()).kind is not Kind.DELTA_END:
            (copies if frame.kind is Kind.COPIES else literals).put(frame, len(frame.payload))
        copies.close()
        literals.close()
