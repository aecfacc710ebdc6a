"""One weak checksum that 120,000 chunks share, the paper's worst (section 3.2): by checksum, and by slices."""

from __future__ import annotations

import ctypes
import random
import tempfile
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.measure import interleaved
from benchmarks.noise import random_bytes
from benchmarks.paper.baselines.chunking import spread
from benchmarks.paper.baselines.matching import TOKEN_BYTES, Chunks, weak_table
from benchmarks.paper.library import library
from benchmarks.paper.plan import Plan, say
from benchmarks.paper.rows import Row

CHUNKS = 120_000
LENGTH = 8192
FILE_BYTES = 64 << 20
SEED = 20260216
DATASET = "one checksum"


def measure(plan: Plan) -> Iterator[Row]:
    """The receiver's strong checksums of such chunks; they lie anywhere in a file of 64 MiB."""
    with tempfile.TemporaryFile() as file:
        file.write(random_bytes(SEED, FILE_BYTES))
        file.flush()
        chunks = _chunks(file.fileno())
        actions = {
            (subject, threads): partial(_strong, chunks, threads, subject == "by checksum")
            for subject in ("by checksum", "by slice")
            for threads in range(1, plan.threads + 1)
        }
        for (subject, threads), runs in interleaved(actions, plan.rounds, plan.lock).items():
            for repetition, seconds in enumerate(runs):
                say(f"slices     {subject:12} {threads} threads {seconds:.3f} s")
                yield Row(
                    dataset=DATASET,
                    subject=subject,
                    threads=threads,
                    repetition=repetition,
                    values={"seconds": seconds, "bytes": CHUNKS * LENGTH},
                )


def _chunks(fd: int) -> Chunks:
    chance = random.Random(SEED)
    offsets = (ctypes.c_uint64 * CHUNKS)(*(chance.randrange(FILE_BYTES - LENGTH) for _ in range(CHUNKS)))
    return Chunks(fd, CHUNKS, offsets, (ctypes.c_uint32 * CHUNKS)(*[LENGTH] * CHUNKS), (ctypes.c_uint32 * CHUNKS)())


def _strong(chunks: Chunks, threads: int, by_checksum: bool) -> float:
    """Wall seconds of all strong checksums."""
    table = weak_table(chunks)
    wanted = (ctypes.c_uint32 * 1)(0)
    out = (ctypes.c_uint8 * (TOKEN_BYTES * chunks.total))()

    def work(part: int) -> None:
        library().make_tokens(*table.arguments, wanted, 1, part, threads, by_checksum, out)

    start = time.perf_counter()
    spread(work, range(threads))
    return time.perf_counter() - start
