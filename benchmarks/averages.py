"""What each average chunk size costs: bytes to send, memory, and time to chunk, on pairs of old and new files.

    python -m benchmarks.averages DIR... --out averages.json

Each DIR holds the two files `old` and `new`; the results are named after it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import click
import zstandard

from benchmarks.errors import BenchmarkError
from parasync.chunking import ChunkReport, chunk_file
from parasync.config import COPY_BYTES, KIB, LITERAL_BYTES
from parasync.kernels import ChunkIndex, ChunkMatcher, ChunkTable, FingerprintKey, active_kernel, fingerprint_key

T = TypeVar("T")

AVERAGES = [2 * KIB << doubling for doubling in range(6)]
ROUNDS = 5
CHUNK_BYTES = 28
"""Memory of a chunk in a table."""
LEVEL = 3
"""Of zstd: between the fastest that the sender uses and the strongest."""


@dataclass(frozen=True)
class Row:
    """One dataset at one average. Bytes, unless named otherwise.

    `list_bytes` are the lengths and fingerprints of the target's chunks on the wire; `missed` are the literals, and
    `missed_packed` the same as zstd makes of them. `memory` is the receiver's: both tables and the index.
    `mean` is of all chunks but each file's last; `forced` the share of forced cuts among them. `cpu_chunking` are CPU
    seconds for both files, `cpu_matching` those to index the basis and to look the target up.
    """

    dataset: str
    average: int
    target: int
    chunks: int
    mean: float
    forced: float
    list_bytes: int
    missed: int
    missed_packed: int
    memory: int
    cpu_chunking: float
    cpu_matching: float


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` returns, and the least CPU seconds that it took: whatever disturbs it only takes more."""
    seconds = []
    for _ in range(ROUNDS):
        before = time.process_time()
        result = work()
        seconds.append(time.process_time() - before)
    return result, min(seconds)


def chunked(path: Path, average: int, key: FingerprintKey) -> tuple[ChunkReport, float]:
    """The chunks of the file, and CPU seconds."""
    with path.open("rb") as file:
        size = path.stat().st_size
        return timed(lambda: chunk_file(file.fileno(), size, key, average, threads=1))


def wanted(basis: ChunkTable, target: ChunkTable) -> tuple[list[tuple[int, int]], int]:
    """Extents of the target that the basis lacks, and the memory of the index that tells so."""
    index = ChunkIndex(basis)
    index.insert(0, len(basis))
    matcher = ChunkMatcher(target, index, COPY_BYTES)
    matcher.match(0, len(target))
    numbers = memoryview(matcher.take_wants()).cast("Q").tolist()
    return list(zip(numbers[::2], numbers[1::2], strict=True)), index.nbytes


def pieces(path: Path, extents: list[tuple[int, int]]) -> Iterator[bytes]:
    """The bytes of these extents, back to back, in pieces as long as the sender's."""
    piece = bytearray()
    with path.open("rb") as file:
        for offset, length in extents:
            file.seek(offset)
            piece += file.read(length)
            while len(piece) >= LITERAL_BYTES:
                yield bytes(piece[:LITERAL_BYTES])
                del piece[:LITERAL_BYTES]
    yield bytes(piece)


def measure(directory: Path, average: int, key: FingerprintKey) -> Row:
    basis, basis_cpu = chunked(directory / "old", average, key)
    target, target_cpu = chunked(directory / "new", average, key)
    (extents, index_bytes), matching_cpu = timed(lambda: wanted(basis.table, target.table))
    packer = zstandard.ZstdCompressor(level=LEVEL)
    tables = (basis.table, target.table)
    ends = [table.chunk(len(table) - 1)[0] for table in tables]
    cuts = sum(len(table) - 1 for table in tables)
    return Row(
        dataset=directory.name,
        average=average,
        target=target.table.size,
        chunks=len(target.table),
        mean=round(sum(ends) / cuts, 1),
        forced=round((basis.forced + target.forced) / cuts, 5),
        list_bytes=len(target.table.encode(0, len(target.table))),
        missed=sum(length for _, length in extents),
        missed_packed=sum(len(packer.compress(piece)) for piece in pieces(directory / "new", extents)),
        memory=CHUNK_BYTES * sum(map(len, tables)) + index_bytes,
        cpu_chunking=round(basis_cpu + target_cpu, 4),
        cpu_matching=round(matching_cpu, 4),
    )


@click.command()
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="write the results there instead of to the terminal")
def command(directories: tuple[Path, ...], out: Path | None) -> None:
    """What each average chunk size costs on pairs of files."""
    for directory in directories:
        for name in ("old", "new"):
            path = directory / name
            if not path.is_file() or path.stat().st_size <= max(AVERAGES) * 2:
                raise BenchmarkError(f"{path} is not a file of more than two of the largest chunks")
    key = fingerprint_key(bytes(16))
    rows = [measure(directory, average, key) for directory in directories for average in AVERAGES]
    result = {"kernel": active_kernel(), "rows": [asdict(row) for row in rows]}
    text = json.dumps(result, indent=1) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text, encoding="ascii")


if __name__ == "__main__":
    command(prog_name="python -m benchmarks.averages")
