"""`python -m benchmarks.paper`: run the paper's experiments, and write the page that compares."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path

import click

from benchmarks.errors import BenchmarkError
from benchmarks.lab import datasets
from benchmarks.lab.manifest import Manifest, load
from benchmarks.lab.shape import parse_shape
from benchmarks.lab.system import search_path
from benchmarks.machine import describe
from benchmarks.measure import lock_option
from benchmarks.paper import page
from benchmarks.paper.experiments import ALL, Entry, Measure
from benchmarks.paper.plan import Plan, say
from benchmarks.paper.rows import RESULTS, Experiment, Row, merged, path_of, read, write
from benchmarks.results import now
from parasync.config import default_threads

SETS = ("source", "packages", "text", "db", "dbdump")
"""Files; the others of `benchmarks datasets` can be named."""
STORE = "parasync-paper"

EPILOG = f"""\b
Experiments, in this order; all unless some are named:
{chr(10).join(f"  {name:10} {one.title}{'; root' if one.network else ''}" for name, one in ALL.items())}

\b
Examples:
  python -m benchmarks.paper --size small
  python -m benchmarks.paper chunking --sets source,vm --threads 4 -n 5
  python -m benchmarks.paper endtoend --nets wan --keep
"""


@click.command("paper", epilog=EPILOG, short_help="The paper's experiments: its figures beside ours.")
@click.argument("experiments", nargs=-1, type=click.Choice(list(ALL)), metavar="[EXPERIMENT]...")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/datasets"),
    show_default=True,
    help="Where `benchmarks datasets` builds; what is missing is built.",
)
@click.option("--size", type=click.Choice(["small", "medium"]), default="medium", show_default=True)
@click.option("--sets", help=f"Datasets, separated by commas.  [default: {','.join(SETS)}; ablation: fewer]")
@click.option("--nets", default="lan,wan", show_default=True, help="lan, wan, raw or RATE/RTT[/LOSS].")
@click.option("-n", "--rounds", default=2, show_default=True, help="Runs of each, interleaved; the median counts.")
@click.option("--threads", type=click.IntRange(1, 64), help="Of each side, at most.  [default: one per core]")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds for one transfer.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/paper"),
    show_default=True,
    help="Where the results go, as JSON, and evaluation.md with its images.",
)
@click.option("--keep", is_flag=True, help="Add to the results that are there what was not measured again.")
@lock_option
def command(
    *,
    experiments: tuple[str, ...],
    data: Path,
    size: str,
    sets: str | None,
    nets: str,
    rounds: int,
    threads: int | None,
    timeout: float,
    out: Path,
    keep: bool,
    lock: Path,
) -> None:
    """Run the experiments of the paper's evaluation on this machine, scaled to it, and compare.

    What needs the lab's network is left out unless this runs as root. docs/evaluation.md is generated from the
    results in benchmarks/results/paper: `python -m benchmarks.paper --out benchmarks/results/paper --keep` replaces
    them, `python -m benchmarks.paper.page` writes the page.
    """
    for net in nets.split(","):
        parse_shape(net)
    wanted = [name for name in ALL if name in experiments or not experiments]
    runnable = [name for name in wanted if not ALL[name].network or _has_network(name)]
    if not runnable:
        raise BenchmarkError("nothing is left to run")
    manifest, found = _datasets(data, size, sets.split(",") if sets else list(SETS))
    plan = Plan(
        data=data.absolute() / size,
        manifest=manifest,
        sets=found,
        named=sets is not None,
        nets=nets.split(","),
        rounds=rounds,
        threads=threads or default_threads(),
        store=(Path("/dev/shm") if Path("/dev/shm").is_dir() else data) / STORE,
        timeout=timeout,
        lock=lock,
    )
    for name in runnable:
        run(name, ALL[name], plan, path_of(out, name), keep=keep)
    if out.absolute() != RESULTS:
        page.write(page.load_results(out), out / "evaluation.md", out / "images" / "evaluation")
        say(f"{out}/evaluation.md: the figures beside the paper's")


def run(name: str, entry: Entry, plan: Plan, path: Path, *, keep: bool) -> None:
    """One experiment; its rows are written when it is done, or as far as it got."""
    measure: Measure = importlib.import_module(f"benchmarks.paper.experiments.{entry.module}").measure
    say(f"{name}: {entry.title}")
    machine, started = describe(("rsync",), ()), now()
    old = read(path) if keep and path.exists() else None
    rows: list[Row] = []
    try:
        rows.extend(measure(plan))
    finally:
        if rows:
            new = Experiment(name=name, started=started, machine=machine, sizes=plan.sizes(), notes=[], rows=rows)
            write(path, merged(old, new) if old else new)
    failed = sum(bool(row.error) for row in rows)
    if failed:
        say(f"{name}: {failed} runs failed; the lines above tell which")


def _has_network(name: str) -> bool:
    """Whether the lab can be made; else one line says what is left out and why."""
    if os.geteuid() != 0:
        reason = "the lab's network needs root"
    elif missing := [one for one in ("ip", "tc", "rsync") if shutil.which(one, path=search_path()) is None]:
        reason = f"not installed: {', '.join(missing)}"
    else:
        return True
    say(f"left out: {name}, since {reason}")
    return False


def _datasets(data: Path, size: str, names: list[str]) -> tuple[Manifest, list[str]]:
    """The datasets, built where they are missing; what cannot be built is left out, with one line.

    Raises:
        BenchmarkError: none is left.
    """
    for name in names:
        if name in load(data / size):
            continue
        try:
            datasets.build_missing(data, size, name.partition("-")[0])
        except BenchmarkError as error:
            say(f"left out: dataset {name}: {error.message}")
    manifest = load(data / size)
    found = [name for name in names if name in manifest and not manifest[name].is_tree]
    if not found:
        raise BenchmarkError(f"{data}/{size} has none of {', '.join(names)}")
    return manifest, found
