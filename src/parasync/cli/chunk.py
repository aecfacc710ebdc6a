"""`parasync chunk`: Phase I alone, on one file; to measure it and to compare kernels and machines."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from parasync.cli.command import Command
from parasync.cli.lines import print_json, print_line
from parasync.cli.meter import human_bytes
from parasync.config import CHUNKING_DEFAULT, CHUNKINGS, MIB, SEGMENT_BYTES, default_average
from parasync.errors import FileError, SelectionError, UsageError, describe_os_error
from parasync.options import Options

if TYPE_CHECKING:
    from parasync.chunking import ChunkReport
    from parasync.kernels import ChunkTable

DEFAULT_KEY = bytes(range(32))
"""Fixed, so that digests of two runs, kernels or machines can be compared. Syncs use a secret one."""
MAX_SEGMENT = 1024 * MIB

EPILOG = """\b
Examples:
  parasync chunk disk.img
  parasync chunk disk.img --threads 1 --kernel portable --json
"""


@click.command(
    "chunk",
    cls=Command,
    epilog=EPILOG,
    short_help="Chunk one file and tell how fast.",
    context_settings={"max_content_width": 112},
)
@click.argument("file", type=click.Path(path_type=bytes))
@click.option("--threads", type=int, default=0, metavar="N", help="Chunking threads; 0: one per core, up to 8.")
@click.option(
    "--segment-size",
    type=click.IntRange(1, MAX_SEGMENT),
    default=SEGMENT_BYTES,
    show_default=True,
    metavar="BYTES",
    help="What one thread reads and scans at a time; does not change the chunks.",
)
@click.option(
    "--average",
    type=int,
    default=0,
    metavar="BYTES",
    help="Average chunk size, a power of two; by file size unless given.",
)
@click.option(
    "--chunking",
    type=click.Choice(CHUNKINGS),
    default=CHUNKING_DEFAULT,
    show_default=True,
    help="Cut rule: highest candidate, or the paper's first one.",
)
@click.option("--kernel", metavar="NAME", help="Use this kernel (see parasync doctor); does not change the chunks.")
@click.option(
    "--key", metavar="HEX", help="Key of the fingerprints: 32 hexadecimal digits or more; a fixed one unless given."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    file: bytes,
    threads: int,
    segment_size: int,
    average: int,
    chunking: str,
    kernel: str | None,
    key: str | None,
    as_json: bool,
) -> int:
    """Cut FILE into content-defined chunks, as a sync would, and tell their sizes and the speed.

    The digest depends on every chunk's length and fingerprint: the same for any number of threads, kernel and CPU.
    """
    from parasync.chunking import chunk_file  # noqa: PLC0415
    from parasync.kernels import active_kernel, fingerprint_key, select_kernel  # noqa: PLC0415

    workers = Options(threads=threads, average=average).workers
    secret = DEFAULT_KEY if key is None else parse_key(key)
    if kernel is not None:
        select_kernel(kernel)
    with open_file(file) as (fd, size):
        try:
            report = chunk_file(
                fd, size, fingerprint_key(secret), average or default_average(size), workers, segment_size, chunking
            )
        except OSError as error:
            raise FileError(describe_os_error("read", file, error)) from error
        except EOFError as error:
            raise FileError(f"{os.fsdecode(file)}: became shorter while it was read; run again") from error
    facts: dict[str, object] = {
        **measure(report, size),
        "kernel": active_kernel(),
        "digest": report.table.digest().hex(),
    }
    if as_json:
        print_json(facts)
    else:
        print_facts(facts, size)
    return 0


def parse_key(text: str) -> bytes:
    """The bytes of a key in hexadecimal.

    Raises:
        UsageError: it is not hexadecimal.
    """
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise UsageError(f"--key {text!r}: give an even number of hexadecimal digits") from error


@contextmanager
def open_file(path: bytes) -> Iterator[tuple[int, int]]:
    """(descriptor, size) of a regular file.

    Raises:
        SelectionError: it cannot be opened, or is something else.
    """
    try:
        # Without O_NONBLOCK, a named pipe would be waited for before it can be refused.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SelectionError(describe_os_error("open", path, error)) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise SelectionError(f"{os.fsdecode(path)}: is not a regular file; name one")
        yield fd, status.st_size
    finally:
        os.close(fd)


def measure(report: ChunkReport, size: int) -> dict[str, int | float]:
    """Counts and sizes in bytes, seconds, and 10^9 bytes per second."""
    table = report.table
    lengths = _lengths(table)
    return {
        "chunks": len(lengths),
        "mean": round(size / len(lengths), 1) if lengths else 0.0,
        "min": min(lengths, default=0),
        "max": max(lengths, default=0),
        "forced": report.forced,
        "seconds": round(report.seconds, 6),
        "gb_per_s": round(size / report.seconds / 1e9, 3) if report.seconds else 0.0,
    }


def _lengths(table: ChunkTable) -> memoryview[int]:
    """Every chunk's length, out of the columns as they go over the wire."""
    count = len(table)
    columns = memoryview(table.encode(0, count))
    if table.average * 3 // 2 <= 0xFFFF:
        return columns[: 2 * count].cast("H")
    return columns[: 4 * count].cast("I")


def print_facts(facts: dict[str, object], size: int) -> None:
    """The same for people."""
    print_line(f"{human_bytes(size)} in {facts['chunks']:,} chunks; {facts['forced']:,} forced cuts")
    print_line(f"chunk size: mean {facts['mean']:,}, min {facts['min']:,}, max {facts['max']:,} bytes")
    print_line(f"{facts['seconds']} s, {facts['gb_per_s']} GB/s, kernel {facts['kernel']}")
    print_line(f"digest {facts['digest']}")
