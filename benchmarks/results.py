"""What a benchmark leaves behind: typed records, written to and read from JSON."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from benchmarks.errors import BenchmarkError

FORMAT = 1


class Record(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A part of a result."""


class Machine(Record):
    """What was measured on. `load` is the average of the last minute before the first measurement."""

    cpu: str
    cores: int
    memory: int
    kernel: str
    python: str
    parasync: str
    kernels: list[str]
    load: float
    versions: dict[str, str]


class Transfer(Record):
    """One run of one tool: wall seconds, bytes on the wire, and per side CPU seconds and peak memory in bytes.

    `cpu_other` is what the rest of the machine computed meanwhile: the network's delay, and whatever disturbed.
    """

    tool: str
    dataset: str
    net: str
    repetition: int
    seconds: float
    to_receiver: int
    to_sender: int
    cpu_sender: float
    cpu_receiver: float
    cpu_other: float
    rss_sender: int
    rss_receiver: int
    ok: bool
    error: str = ""


class TransferSummary(Record):
    """Medians of one tool's good runs; `versus_ours`: how many times ours' seconds and bytes these are, by our tool."""

    tool: str
    dataset: str
    net: str
    runs: int
    failed: int
    seconds: float
    fastest: float
    to_receiver: int
    to_sender: int
    cpu_sender: float
    cpu_receiver: float
    cpu_other: float
    rss_sender: int
    rss_receiver: int
    versus_ours: dict[str, Versus]


class Versus(Record):
    seconds: float
    bytes: float


class Delta(Record):
    """What a local tool that has both files makes of them: the least that could be sent."""

    tool: str
    dataset: str
    seconds: float
    bytes: int


class EndToEnd(Record, tag="endtoend"):
    """Whole syncs. `delay` tells for each net what made it."""

    format: int
    started: str
    machine: Machine
    store: str
    sizes: dict[str, int]
    delay: dict[str, str]
    transfers: list[Transfer]
    summary: list[TransferSummary]
    deltas: list[Delta]


class Rate(Record):
    """One chunker on one input of `bytes` bytes: wall and CPU seconds of all runs, and rates by their medians.

    `group` is parasync, peer, command or limit; a command is a whole process, and `inner_gb_per_s` its rate without
    start and end.
    `mean` is the mean chunk in bytes, `forced` the share of cuts at the maximum. None where it is not known.
    """

    name: str
    group: str
    includes: str
    data: str
    threads: int
    bytes: int
    seconds: list[float]
    cpu_seconds: list[float]
    gb_per_s: float
    gb_per_cpu_s: float
    inner_gb_per_s: float | None = None
    mean: float | None = None
    forced: float | None = None


class Projection(Record):
    """Rate at `cores` cores: by Amdahl's law alone, and with the memory's bandwidth as its bound.

    `limit` is what it would take to be faster: "cores", a shorter "merge", or "memory".
    """

    cores: int
    amdahl_gb_per_s: float
    gb_per_s: float
    limit: str


class SerialShare(Record):
    """What of a kernel's CPU time in one thread cannot be spread over threads: the merge."""

    kernel: str
    data: str
    scan_seconds: float
    merge_seconds: float
    share: float
    projections: list[Projection]


class WorstCase(Record):
    """Rate of CPU time on a hard input, and in proportion to random bytes; `records`: candidates' memory per byte."""

    kernel: str
    pattern: str
    gb_per_s: float
    relative: float
    records: float


class Chunking(Record, tag="chunking"):
    """Phase I."""

    format: int
    started: str
    machine: Machine
    rates: list[Rate]
    shares: list[SerialShare]
    worst: list[WorstCase]
    skipped: dict[str, str]


class LookUps(Record):
    """Look-ups of one kind: all runs' seconds for `count` look-ups each."""

    kind: str
    count: int
    seconds: list[float]
    per_second: float


class Index(Record, tag="index"):
    """Phase II's index."""

    format: int
    started: str
    machine: Machine
    entries: int
    insert_seconds: float
    bytes_per_entry: float
    look_ups: list[LookUps]


Result = EndToEnd | Chunking | Index


def now() -> str:
    """UTC, for `started`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write_result(path: Path, result: Result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def read_result(path: Path) -> Result:
    """
    Raises:
        BenchmarkError: the file cannot be read, or is no result of this suite.
    """
    try:
        result: Result = msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise BenchmarkError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise BenchmarkError(f"{path}: no result of this suite: {error}") from error
    if result.format != FORMAT:
        raise BenchmarkError(f"{path}: format {result.format}, this suite reads {FORMAT}")
    return result
