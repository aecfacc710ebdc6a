"""The paper's baselines: all structures find the same chunks and bring the same result. Nothing is timed here."""

from __future__ import annotations

import ctypes
import socket
import threading
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.noise import random_bytes
from benchmarks.paper.baselines import chunking, host, reconstruction
from benchmarks.paper.baselines.matching import NONE
from benchmarks.paper.baselines.memory import mapped
from benchmarks.paper.baselines.structure import STRUCTURES
from benchmarks.paper.experiments.skew import skew
from parasync.config import LITERAL_BYTES, MIB

pytestmark = pytest.mark.native

NOISE = random_bytes(1, 3 * MIB)
ZEROS = bytes(MIB)
CHUNKERS = [*chunking.CHUNKERS.values(), chunking.pdsync_weak, chunking.overlapped]


def chunks(chunker: chunking.Chunker, path: Path, threads: int) -> list[tuple[int, int]]:
    with mapped(path) as memory:
        found = chunker(memory, threads)
    return list(zip(found.lengths, found.weak, strict=True))


@pytest.mark.parametrize(
    "data",
    [b"x", NOISE[:12288], NOISE[:12289], NOISE, ZEROS, NOISE[:100_001] + ZEROS + NOISE],
    ids=["byte", "maximum", "above maximum", "noise", "zeros", "mixed"],
)
def test_all_structures_find_the_same_chunks(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    expected = chunks(chunking.dsync, path, 1)
    assert sum(length for length, _ in expected) == len(data)
    for chunker in CHUNKERS:
        for threads in (1, 2, 3):
            assert chunks(chunker, path, threads) == expected


PAIRS = {
    "identical": (NOISE, NOISE),
    "nothing in common": (random_bytes(2, MIB), NOISE),
    "edited": (NOISE, NOISE[:1000] + b"inserted" + NOISE[1000:MIB] + NOISE[MIB + 5000 :] + random_bytes(3, MIB)),
    "skewed": (ZEROS * 5 + NOISE, ZEROS + NOISE[MIB:] + ZEROS * 2),
    "one byte": (b"a", b"b"),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("turns", [False, True], ids=["at once", "in turns"])
def test_every_structure_rebuilds_the_target(
    structure: str, pair: tuple[bytes, bytes], turns: bool, tmp_path: Path
) -> None:
    basis, target = tmp_path / "basis", tmp_path / "target"
    basis.write_bytes(pair[0])
    target.write_bytes(pair[1])
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                host.receive(connection, basis)

        receiver = threading.Thread(target=serve)
        receiver.start()
        hello = host.Hello(structure, 2, turns, len(pair[1]))
        report = host.push(server.getsockname(), target, hello)
        receiver.join()
    assert basis.read_bytes() == pair[1]
    assert report["literal_bytes"] <= len(pair[1])
    if pair[0] == pair[1]:
        assert report["literal_bytes"] == 0
    assert all(report[phase] > 0 for phase in ("chunking", "matching", "reconstruction"))


def test_operations_cover_the_target_in_parts_of_bounded_literals() -> None:
    lengths = [8192] * 400
    matches = [NONE if number % 4 else number * 8192 for number in range(400)]
    found = host.Chunks(
        0,
        400,
        (ctypes.c_uint64 * 400)(*range(0, 400 * 8192, 8192)),
        (ctypes.c_uint32 * 400)(*lengths),
        (ctypes.c_uint32 * 400)(),
    )
    operations = reconstruction.plan(found, (ctypes.c_uint64 * 400)(*matches))
    assert [one.target for one in operations] == [sum(one.length for one in operations[:n]) for n in range(200)]
    assert {one.length for one in operations} == {8192, 3 * 8192}
    parts = list(reconstruction.in_parts(operations))
    assert [one for part in parts for one in part.operations] == operations
    assert all(0 < part.literal_bytes <= LITERAL_BYTES for part in parts)


def test_skew_counts_chunks_per_checksum() -> None:
    values = skew(Counter({1: 1, 2: 9, 3: 101, 4: 2000}))
    assert values["chunks"] == 2111
    assert values["checksums"] == 4
    assert (values["below10"], values["above100"], values["above1000"]) == (0.5, 0.5, 0.25)
    assert values["largest"] == 2000
