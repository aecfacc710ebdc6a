"""A baseline end to end, over one connection, its phases one after the other and timed apart.

    python -m benchmarks.paper.baselines.host serve PORT FILE
    python -m benchmarks.paper.baselines.host push HOST PORT FILE STRUCTURE THREADS REPORT [turns]

With `turns` the sides chunk one after the other, so that each has all cores of a machine that both share, as each
would on a host of its own.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.paper.baselines import chunking, matching, reconstruction
from benchmarks.paper.baselines.link import Kind, Link
from benchmarks.paper.baselines.matching import Chunks, Times
from benchmarks.paper.baselines.memory import mapped
from benchmarks.paper.baselines.structure import STRUCTURES, Structure


class Hello(NamedTuple):
    """What the sender tells first."""

    structure: str
    threads: int
    turns: bool
    size: int


@contextmanager
def phase(times: Times, name: str) -> Iterator[None]:
    """Note the wall and CPU seconds of a phase on this side."""
    start, cpu = time.perf_counter(), time.process_time()
    yield
    times[name] = time.perf_counter() - start
    times[f"{name}.cpu"] = time.process_time() - cpu


def chunk(structure: Structure, path: Path, fd: int, threads: int, times: Times) -> Chunks:
    """Phase I of one side."""
    with mapped(path) as memory, phase(times, "chunking"):
        found = chunking.CHUNKERS[structure.name](memory, threads)
        times["chunking.stage1"], times["chunking.stage2"] = found.stage1, found.stage2
        count = len(found.lengths)
        offsets = (ctypes.c_uint64 * count)(*accumulate(found.lengths[:-1], initial=0))
    return Chunks(fd, count, offsets, found.lengths, found.weak)


def serve(port: int, path: Path) -> None:
    """One session with the first who connects."""
    with socket.create_server(("", port)) as server:
        connection, _ = server.accept()
    with connection:
        receive(connection, path)


def receive(connection: socket.socket, path: Path) -> None:
    """The receiver: the new file takes the old one's name."""
    with path.open("rb") as basis, open(f"{path}.part", "w+b") as target:
        link = Link(connection)
        hello = Hello(*json.loads(link.expect(Kind.HELLO).payload))
        structure = STRUCTURES[hello.structure]
        times: Times = {}
        if hello.turns:
            link.expect(Kind.CHUNKED)
        chunks = chunk(structure, path, basis.fileno(), hello.threads, times)
        link.send(Kind.CHUNKED)
        if not hello.turns:
            link.expect(Kind.CHUNKED)
        with phase(times, "matching"):
            matching.Receiver(structure, chunks, hello.threads, times).run(link)
        with phase(times, "reconstruction"):
            reconstruction.receive_delta(structure, target.fileno(), basis.fileno(), hello.size, link)
        os.rename(target.name, path)
        link.send(Kind.DONE, json.dumps(times).encode())


def push(address: tuple[str, int], path: Path, hello: Hello) -> Times:
    """The sender; what it and the receiver measured, by phase and side."""
    structure = STRUCTURES[hello.structure]
    times: Times = {}
    with socket.create_connection(address) as connection, path.open("rb") as target:
        link = Link(connection)
        link.send(Kind.HELLO, json.dumps(hello).encode())
        chunks = chunk(structure, path, target.fileno(), hello.threads, times)
        link.send(Kind.CHUNKED)
        link.expect(Kind.CHUNKED)
        begin = time.perf_counter()
        with phase(times, "matching"):
            sender = matching.Sender(structure, chunks, hello.threads, times)
            sender.run(link)
        middle = time.perf_counter()
        with phase(times, "reconstruction"):
            operations = reconstruction.plan(chunks, sender.matches)
            reconstruction.send_delta(structure, operations, target.fileno(), hello.size, link)
            theirs: Times = json.loads(link.expect(Kind.DONE).payload)
        end = time.perf_counter()
    report = {f"{name}@sender": value for name, value in times.items()}
    report |= {f"{name}@receiver": value for name, value in theirs.items()}
    literals = sum(one.length for one in operations if one.basis == matching.NONE)
    return report | {
        # Both sides have it behind them; where they take turns, that is as long as the slower one took.
        "chunking": max(times["chunking"], theirs["chunking"]),
        "matching": middle - begin,
        "reconstruction": end - middle,
        "literal_bytes": literals,
        "operations": len(operations),
        "chunks": chunks.total,
    }


def main(words: list[str]) -> None:
    match words:
        case ["serve", port, file]:
            serve(int(port), Path(file))
        case ["push", host, port, file, structure, threads, report, *turns]:
            hello = Hello(structure, int(threads), turns == ["turns"], Path(file).stat().st_size)
            found: dict[str, Any] = push((host, int(port)), Path(file), hello)
            Path(report).write_text(json.dumps(found), encoding="ascii")
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
