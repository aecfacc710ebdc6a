"""`python -m benchmarks endtoend`: whole syncs of real data beside other tools, over shaped networks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from benchmarks.errors import BenchmarkError
from benchmarks.lab import network
from benchmarks.lab.manifest import Manifest, load
from benchmarks.lab.shape import parse_shape
from benchmarks.lab.system import require, require_root
from benchmarks.lab.tools import DEFAULT_TOOLS, TOOLS, Tool, make_tool
from benchmarks.lab.transfer import Case, local_delta, transfer
from benchmarks.machine import VERSION_COMMANDS, describe
from benchmarks.measure import alone, lock_option
from benchmarks.report import finish
from benchmarks.results import FORMAT, Delta, EndToEnd, Machine, Transfer, now, write_result
from benchmarks.summary import summarise

STORE = "parasync-lab"
DELTA_TOOLS = ("zstd", "xdelta3")

EPILOG = f"""\b
Tools: {", ".join(TOOLS)}.

\b
Examples, as root:
  python -m benchmarks endtoend --data DIR/small -n 3 --out results.json --plot results.svg
  python -m benchmarks endtoend --data DIR/medium --sets source,vm --nets 100mbit/20ms/0.1 --tools parasync,rsync-z
"""


class Plan(NamedTuple):
    """What is asked for. `sets` and `tools` keep the order they were given in."""

    data: Path
    manifest: Manifest
    sets: list[str]
    nets: list[str]
    tools: dict[str, Tool]
    rounds: int
    store: Path
    timeout: float
    deltas: bool
    out: Path | None
    lock: Path


@click.command("endtoend", epilog=EPILOG, short_help="Whole syncs beside other tools; needs root.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="DIR/small or DIR/medium of what `datasets build DIR` made.",
)
@click.option("--sets", help="Datasets, separated by commas.  [default: all]")
@click.option("--nets", default="lan,wan", show_default=True, help="lan, wan, raw or RATE/RTT[/LOSS].")
@click.option("--tools", default=",".join(DEFAULT_TOOLS), show_default=True, help="Separated by commas.")
@click.option("-n", "--rounds", default=3, show_default=True, help="Runs of each, interleaved; the median counts.")
@click.option(
    "--store",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("/dev/shm"),
    show_default=True,
    help="Where both hosts keep their files, in a directory that is made and removed.",
)
@click.option("--timeout", default=300.0, show_default=True, help="Seconds for one transfer.")
@click.option("--deltas", is_flag=True, help="Also tell what zstd and xdelta3 make of it with both files at hand.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the results here, as JSON, after every transfer.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw them here, as SVG.")
@lock_option
def command(
    *,
    data: Path,
    sets: str | None,
    nets: str,
    tools: str,
    rounds: int,
    store: Path,
    timeout: float,
    deltas: bool,
    out: Path | None,
    plot: Path | None,
    lock: Path,
) -> None:
    """Sync the new version of each dataset over the old one with each tool, and verify the result. Needs root.

    A tool that fails on a dataset is not tried again there. The lab is made if it is not up, and removed then.
    """
    manifest = load(data)
    plan = Plan(
        data=data,
        manifest=manifest,
        sets=parse_sets(sets, manifest, data),
        nets=nets.split(","),
        tools={name: make_tool(name) for name in tools.split(",")},
        rounds=rounds,
        store=store / STORE,
        timeout=timeout,
        deltas=deltas,
        out=out,
        lock=lock,
    )
    for net in plan.nets:
        parse_shape(net)
    require_root()
    require(*{one for tool in plan.tools.values() for one in tool.commands}, *(DELTA_TOOLS if deltas else ()))
    result = measure(plan)
    finish(result, out, plot)
    failed = sum(row.failed for row in result.summary)
    if failed:
        raise BenchmarkError(f"{failed} transfers failed; the lines above tell which")


def parse_sets(sets: str | None, manifest: Manifest, data: Path) -> list[str]:
    """
    Raises:
        BenchmarkError: there are no datasets, or not these.
    """
    if not manifest:
        raise BenchmarkError(f"{data} has no datasets: run `python -m benchmarks datasets build`, name DIR/small here")
    names = sets.split(",") if sets else list(manifest)
    wrong = sorted(set(names) - set(manifest))
    if wrong:
        raise BenchmarkError(f"set {', '.join(wrong)}: {data} has {', '.join(manifest)}")
    return names


def measure(plan: Plan) -> EndToEnd:
    """All transfers, nets outermost, so that a net is shaped once; then repetitions, datasets, tools."""
    machine, started = describe(VERSION_COMMANDS, ()), now()
    delay: dict[str, str] = {}
    transfers: list[Transfer] = []
    deltas = list(_deltas(plan)) if plan.deltas else []
    was_up = network.is_up()
    if not was_up:
        network.up()
    try:
        for net in plan.nets:
            delay[net] = network.shape(parse_shape(net))
            for done in _transfers(plan, net):
                transfers.append(done)
                if plan.out:
                    write_result(plan.out, _result(plan, machine, started, delay, transfers, deltas))
    finally:
        shutil.rmtree(plan.store, ignore_errors=True)
        if not was_up:
            network.down()
    return _result(plan, machine, started, delay, transfers, deltas)


def _result(
    plan: Plan,
    machine: Machine,
    started: str,
    delay: dict[str, str],
    transfers: Sequence[Transfer],
    deltas: Sequence[Delta],
) -> EndToEnd:
    return EndToEnd(
        format=FORMAT,
        started=started,
        machine=machine,
        store=str(plan.store.parent),
        sizes={name: plan.manifest[name].new.size for name in plan.sets},
        delay=delay,
        transfers=list(transfers),
        summary=summarise(transfers),
        deltas=list(deltas),
    )


def _transfers(plan: Plan, net: str) -> Iterator[Transfer]:
    failed: set[tuple[str, str]] = set()
    for repetition in range(plan.rounds):
        for name in plan.sets:
            for tool_name, tool in plan.tools.items():
                dataset = plan.manifest[name]
                if (name, tool_name) in failed or (dataset.is_tree and not tool.trees):
                    continue
                case = Case(tool_name, name, net, repetition, plan.timeout)
                with alone(plan.lock):
                    done = transfer(case, tool, plan.data / name, dataset, plan.store)
                if not done.ok:
                    failed.add((name, tool_name))
                click.echo(_line(done), err=True)
                yield done


def _line(done: Transfer) -> str:
    traffic = f"{done.to_receiver / 1e6:9.2f} + {done.to_sender / 1e6:.2f} MB"
    return f"{done.net:6} {done.dataset:17} {done.tool:14} {done.seconds:8.2f} s {traffic} {done.error or 'ok'}"


def _deltas(plan: Plan) -> Iterator[Delta]:
    for name in plan.sets:
        if plan.manifest[name].is_tree:
            continue
        for tool in DELTA_TOOLS:
            with alone(plan.lock):
                seconds, size = local_delta(tool, plan.data / name, plan.store, plan.timeout)
            yield Delta(tool=tool, dataset=name, seconds=seconds, bytes=size)
