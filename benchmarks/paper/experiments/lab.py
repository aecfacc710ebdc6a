"""Transfers between the lab's two hosts, as rows."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.lab import network
from benchmarks.lab.network import Role
from benchmarks.lab.shape import parse_shape
from benchmarks.lab.tools import Place, Server, Step, Tool
from benchmarks.lab.transfer import Case, transfer
from benchmarks.measure import alone
from benchmarks.paper.baselines.structure import Structure
from benchmarks.paper.library import ROOT, library
from benchmarks.paper.plan import Plan, say
from benchmarks.paper.rows import Row
from benchmarks.results import Transfer

REPORT = "report.json"
COUNTED = (
    "seconds",
    "to_receiver",
    "to_sender",
    "cpu_sender",
    "cpu_receiver",
    "cpu_other",
    "rss_sender",
    "rss_receiver",
)


class Baseline(Tool):
    """A structure of benchmarks.paper.baselines, pushed; its report is beside the target afterwards."""

    port = 9010

    def __init__(self, structure: Structure, threads: int, *, turns: bool) -> None:
        self._structure = structure
        self._threads = threads
        self._turns = ["turns"] if turns else []

    def prepare(self, place: Place) -> None:
        library()  # compiled before the clock

    def servers(self, place: Place) -> list[Server]:
        return [Server(Role.RECEIVER, [*_host(), "serve", str(self.port), str(place.basis)], self.port)]

    def steps(self, place: Place) -> list[Step]:
        where = [Role.RECEIVER.address, str(self.port), str(place.target)]
        how = [self._structure.name, str(self._threads), str(place.sender / REPORT), *self._turns]
        return [Step(Role.SENDER, [*_host(), "push", *where, *how])]


def _host() -> list[str]:
    return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "benchmarks.paper.baselines.host"]


def transfers(plan: Plan, sets: list[str], tools: Mapping[str, Callable[[], Tool]]) -> Iterator[Row]:
    """Every tool on every dataset over every network, the tools interleaved, after one run that does not count.

    That one gets the memory which a larger dataset than the one before needs: a virtual machine may have to ask its
    host for it. A tool that failed on a dataset is not tried there again.
    """
    was_up = network.is_up()
    if not was_up:
        network.up()
    try:
        for net in plan.nets:
            network.shape(parse_shape(net))
            for name in sets:
                first, make = next(iter(tools.items()))
                _one(plan, make(), Case(first, name, net, -1, plan.timeout))
                failed: set[str] = set()
                for repetition in range(plan.rounds):
                    for subject, make in tools.items():
                        if subject in failed:
                            continue
                        row = _one(plan, make(), Case(subject, name, net, repetition, plan.timeout))
                        if row.error:
                            failed.add(subject)
                        yield row
    finally:
        shutil.rmtree(plan.store, ignore_errors=True)
        if not was_up:
            network.down()


def _one(plan: Plan, tool: Tool, case: Case) -> Row:
    with alone(plan.lock):
        done = transfer(case, tool, plan.data / case.dataset, plan.manifest[case.dataset], plan.store)
    say(
        f"{case.net:4} {case.dataset:12} {case.tool:24} {done.seconds:7.2f} s "
        f"{(done.to_receiver + done.to_sender) / 1e6:8.2f} MB {done.error or 'ok'}"
    )
    return row_of(done, plan.threads, plan.store / "sender" / REPORT)


def row_of(done: Transfer, threads: int, report: Path) -> Row:
    """A transfer with what the tool itself reported, if it did."""
    values = {name: float(getattr(done, name)) for name in COUNTED}
    if report.exists():
        values |= json.loads(report.read_text(encoding="ascii"))
    return Row(
        dataset=done.dataset,
        subject=done.tool,
        net=done.net,
        threads=threads,
        repetition=done.repetition,
        values=values,
        error=done.error,
    )
