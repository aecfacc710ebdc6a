"""`python -m benchmarks chunking`: Phase I beside other chunkers, its serial share, and hard inputs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click

from benchmarks.chunking import ours, peers
from benchmarks.chunking.projection import MEMORY_READ, project, read_bandwidth, serial_share
from benchmarks.chunking.subject import Input, Outcome, Subject
from benchmarks.chunking.worst import worst_cases
from benchmarks.errors import BenchmarkError
from benchmarks.limits import Memory
from benchmarks.machine import describe
from benchmarks.measure import alone, cpu_seconds, interleaved, lock_option
from benchmarks.noise import random_bytes
from benchmarks.report import finish
from benchmarks.results import FORMAT, Chunking, Rate, SerialShare, WorstCase, now
from parasync.config import MIB, default_threads
from parasync.kernels import select_kernel, usable_kernels

SEED = 20260216
RANDOM = "random"
WORST_BYTES = 16 * MIB
IN_MEMORY = Path("/dev/shm")

EPILOG = """\b
Examples:
  python -m benchmarks chunking --out chunking.json --plot chunking.svg
  python -m benchmarks chunking --data linux.tar disk.img --size 512
  python -m benchmarks chunking --kernels avx2 --threads 1 --no-peers --no-worst
"""


class Plan(NamedTuple):
    """What is asked for: inputs of `size` bytes, how often, and which kernels with how many threads."""

    files: tuple[Path, ...]
    size: int
    rounds: int
    kernels: list[str]
    threads: list[int]
    peers: bool
    worst: bool
    lock: Path


@click.command("chunking", epilog=EPILOG, short_help="Phase I beside other chunkers, in GB/s.")
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE...",
    help="Files to chunk the beginning of, too.",
)
@click.argument("more", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="")
@click.option("--size", default=256, show_default=True, metavar="MB", help="Bytes of random and of each file.")
@click.option("-n", "--rounds", default=5, show_default=True, help="Runs of each, interleaved; the median counts.")
@click.option("--kernels", help="Of this project, separated by commas.  [default: all that this CPU can run]")
@click.option("--threads", help="Separated by commas.  [default: 1 to the number of cores]")
@click.option("--peers/--no-peers", default=True, help="Run the other chunkers, too.")
@click.option("--worst/--no-worst", default=True, help="Run hard inputs, too.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the results here, as JSON.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them here, as SVG.")
@lock_option
def command(
    *,
    data: tuple[Path, ...],
    more: tuple[Path, ...],
    size: int,
    rounds: int,
    kernels: str | None,
    threads: str | None,
    peers: bool,
    worst: bool,
    out: Path | None,
    plot: Path | None,
    lock: Path,
) -> None:
    """Chunk random bytes, and the beginning of each FILE, with every kernel and with other chunkers."""
    plan = Plan(
        files=data + more,
        size=size * 10**6,
        rounds=rounds,
        kernels=parse_kernels(kernels),
        threads=parse_threads(threads),
        peers=peers,
        worst=worst,
        lock=lock,
    )
    finish(measure(plan), out, plot)


def parse_kernels(text: str | None) -> list[str]:
    """
    Raises:
        BenchmarkError: this CPU cannot run one of them.
    """
    usable = usable_kernels()
    wanted = text.split(",") if text else usable
    wrong = sorted(set(wanted) - set(usable))
    if wrong:
        raise BenchmarkError(f"kernel {', '.join(wrong)}: use some of {', '.join(usable)}")
    return wanted


def parse_threads(text: str | None) -> list[int]:
    """
    Raises:
        BenchmarkError: it is no list of numbers from 1 to 256.
    """
    if text is None:
        return list(range(1, default_threads() + 1))
    try:
        wanted = [int(one) for one in text.split(",")]
    except ValueError as error:
        raise BenchmarkError(f"--threads {text}: give numbers separated by commas") from error
    if not all(1 <= one <= 256 for one in wanted):
        raise BenchmarkError(f"--threads {text}: from 1 to 256")
    return wanted


def measure(plan: Plan) -> Chunking:
    """Run everything that is asked for."""
    machine, started = describe(("rdiff",)), now()
    others, skipped = peers.available() if plan.peers else ([], {})
    for name, reason in skipped.items():
        click.echo(f"not run: {name}: {reason}", err=True)
    rates: list[Rate] = []
    shares: list[SerialShare] = []
    with inputs(plan) as sources:
        for source in sources:
            click.echo(f"{source.name}: {len(source.data) / 1e6:,.0f} MB, {plan.rounds} rounds", err=True)
            subjects = [*own_subjects(plan), *others, *limits(len(source.data), plan.threads)]
            measured = rate_all(subjects, source, plan)
            rates += measured
            shares += serial_shares(source, plan, read_bandwidth(measured))
        worst: list[WorstCase] = []
        if plan.worst:
            click.echo("hard inputs", err=True)
            noise = random_bytes(SEED, WORST_BYTES)
            for kernel in plan.kernels:
                worst += worst_cases(kernel, noise, plan.rounds, SEED, plan.lock)
    return Chunking(
        format=FORMAT, started=started, machine=machine, rates=rates, shares=shares, worst=worst, skipped=skipped
    )


@contextmanager
def inputs(plan: Plan) -> Iterator[Iterator[Input]]:
    """Random bytes, then the beginning of each file; each also as a file in memory while it is the current one."""
    root = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="parasync-chunking-", dir=root) as directory:

        def each() -> Iterator[Input]:
            path = Path(directory, "input")
            for file in (None, *plan.files):
                data = read_beginning(file, plan.size) if file else random_bytes(SEED, plan.size)
                path.write_bytes(data)
                yield Input(name_of(file), data, path)

        yield each()


def read_beginning(file: Path, size: int) -> bytes:
    """
    Raises:
        BenchmarkError: the file is empty or cannot be read.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(size)
    except OSError as error:
        raise BenchmarkError(f"{file}: {error.strerror}") from error
    if not data:
        raise BenchmarkError(f"{file} is empty")
    return data


def name_of(file: Path | None) -> str:
    """A short name; that of the directory, too, since datasets are all called old and new."""
    return RANDOM if file is None else "/".join(file.parts[-2:])


def own_subjects(plan: Plan) -> Iterator[Subject]:
    commands = ours.Command()
    for kernel in plan.kernels:
        yield ours.fingerprint_alone(kernel)
        for count in plan.threads:
            yield ours.in_memory(kernel, count)
            yield commands.subject(kernel, count)


def limits(size: int, threads: Sequence[int]) -> Iterator[Subject]:
    """What memory allows."""
    memory = Memory(size)

    def subject(name: str, count: int) -> Subject:
        action = memory.read if name == MEMORY_READ else memory.copy

        def run(_: Input) -> Outcome:
            action(count)
            return Outcome()

        return Subject(name, "limit", "", count, run)

    for count in threads:
        yield subject(MEMORY_READ, count)
        yield subject("memory copy", count)


class Run(NamedTuple):
    """One run of a subject: wall and CPU seconds, and what came out."""

    wall: float
    cpu: float
    outcome: Outcome


def run_once(subject: Subject, source: Input) -> Run:
    cpu, start = cpu_seconds(), time.perf_counter()
    outcome = subject.run(source)
    return Run(time.perf_counter() - start, cpu_seconds() - cpu, outcome)


def rate_all(subjects: Sequence[Subject], source: Input, plan: Plan) -> list[Rate]:
    """Run all subjects on one input, interleaved, after one run of each that does not count."""
    actions = {number: partial(run_once, subject, source) for number, subject in enumerate(subjects)}
    interleaved(actions, 1, plan.lock)
    runs = interleaved(actions, plan.rounds, plan.lock)
    return [rate_of(subject, source, runs[number]) for number, subject in enumerate(subjects)]


def rate_of(subject: Subject, source: Input, runs: Sequence[Run]) -> Rate:
    """Sum up one subject's runs."""
    size = len(source.data)
    chunks, forced, _ = runs[-1].outcome
    inner = [run.outcome.inner for run in runs if run.outcome.inner]
    return Rate(
        name=subject.name,
        group=subject.group,
        includes=subject.includes,
        data=source.name,
        threads=subject.threads,
        bytes=size,
        seconds=[run.wall for run in runs],
        cpu_seconds=[run.cpu for run in runs],
        gb_per_s=size / median(run.wall for run in runs) / 1e9,
        gb_per_cpu_s=size / median(run.cpu for run in runs) / 1e9,
        inner_gb_per_s=size / median(inner) / 1e9 if inner else None,
        mean=size / chunks if chunks else None,
        forced=forced / chunks if chunks and forced is not None else None,
    )


def serial_shares(source: Input, plan: Plan, bandwidth: float) -> Iterator[SerialShare]:
    """How much of one thread's time each kernel spends merging, and what that allows with more cores."""
    for kernel in plan.kernels:
        select_kernel(kernel)
        runs = []
        for _ in range(plan.rounds):
            with alone(plan.lock):
                runs.append(ours.phases(source.data))
        scan, merge = median(run.scan for run in runs), median(run.merge for run in runs)
        share = serial_share(scan, merge)
        yield SerialShare(
            kernel=kernel,
            data=source.name,
            scan_seconds=scan,
            merge_seconds=merge,
            share=share,
            projections=project(len(source.data) / (scan + merge) / 1e9, share, bandwidth),
        )
