"""One measured transfer: fresh copies, servers up, memory warm, clock, counters, and the result verified."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

from benchmarks.errors import BenchmarkError
from benchmarks.lab import network
from benchmarks.lab.host import Host, machine_cpu_seconds, wait, wait_until_listening, watched
from benchmarks.lab.manifest import Dataset, sha256
from benchmarks.lab.network import Role
from benchmarks.lab.system import run
from benchmarks.lab.tools import Place, Step, Tool
from benchmarks.results import Transfer

BASIS_TIME, TARGET_TIME = 1, 10**9
"""Modification times, far apart: no tool may take the two for unchanged."""
WARM_EXTRA = 200 << 20
PIECE = 1 << 20
ERROR_LENGTH = 300


class Case(NamedTuple):
    """What is transferred under which name over which net; the numbers of repetition and seconds allowed."""

    tool: str
    dataset: str
    net: str
    repetition: int
    timeout: float


class _Clocked(NamedTuple):
    seconds: float
    code: int | None


def transfer(case: Case, tool: Tool, pair: Path, dataset: Dataset, store: Path) -> Transfer:
    """Run `tool` once on the versions in `pair`; whatever the tool does wrong is told in the result.

    Raises:
        BenchmarkError: the lab failed, not the tool.
    """
    place = _lay_out(pair, dataset, store)
    with ExitStack() as stack:
        hosts = {role: stack.enter_context(Host(role)) for role in Role}
        errors = stack.enter_context(tempfile.TemporaryFile())
        try:
            tool.prepare(place)
            for server in tool.servers(place):
                wait_until_listening(hosts[server.role].start(server.argv, errors), server.port)
        except BenchmarkError as error:
            return _failed(case, f"{error.message}: {_tail(errors)}")
        _warm(store, dataset.new.size + dataset.old.size // 2 + WARM_EXTRA)
        before, cpu = network.counters(), {role: host.cpu_seconds() for role, host in hosts.items()}
        machine = machine_cpu_seconds()
        with watched(*hosts.values()):
            clocked = _run(tool.steps(place), hosts, errors, case.timeout)
            used = {role: host.cpu_seconds() - cpu[role] for role, host in hosts.items()}
            machine = machine_cpu_seconds() - machine
        after = network.counters()
        wrong = _error(clocked.code, errors) or _difference(place, tool.result(place), dataset)
        return Transfer(
            tool=case.tool,
            dataset=case.dataset,
            net=case.net,
            repetition=case.repetition,
            seconds=clocked.seconds,
            to_receiver=after.to_receiver - before.to_receiver,
            to_sender=after.to_sender - before.to_sender,
            cpu_sender=used[Role.SENDER],
            cpu_receiver=used[Role.RECEIVER],
            cpu_other=max(0.0, machine - sum(used.values())),
            rss_sender=hosts[Role.SENDER].peak,
            rss_receiver=hosts[Role.RECEIVER].peak,
            ok=not wrong,
            error=wrong,
        )


def _lay_out(pair: Path, dataset: Dataset, store: Path) -> Place:
    """Both versions, copied afresh: the new one to the sender, the old one to the receiver."""
    place = Place(store / "sender", store / "receiver", dataset.is_tree)
    for directory in (place.sender, place.receiver):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    for source, copy, when in ((pair / "old", place.basis, BASIS_TIME), (pair / "new", place.target, TARGET_TIME)):
        run("cp", *(["-a"] if dataset.is_tree else ["--sparse=never"]), source, copy)
        if not dataset.is_tree:
            os.utime(copy, (when, when))
    return place


def _warm(store: Path, size: int) -> None:
    """Touch as much memory as the transfer will write: a virtual machine may have to get it back from its host first.

    A store on a disk is written out instead.
    """
    if run("stat", "-f", "-c", "%T", store).strip() != "tmpfs":
        os.sync()
        return
    piece = bytes(PIECE)
    with tempfile.TemporaryFile(dir=store, buffering=0) as file:
        for _ in range(size // PIECE):
            file.write(piece)


def _run(steps: Sequence[Step], hosts: dict[Role, Host], errors: BinaryIO, timeout: float) -> _Clocked:
    """The steps one after the other, until one fails."""
    code: int | None = 0
    start = time.monotonic()
    for step in steps:
        process = hosts[step.role].start(step.argv, errors)
        code = wait(process, timeout - (time.monotonic() - start))
        if code != 0:
            break
    return _Clocked(time.monotonic() - start, code)


def _error(code: int | None, errors: BinaryIO) -> str:
    """Empty if all is well."""
    if code is None:
        return "timeout"
    return f"exit code {code}: {_tail(errors)}" if code else ""


def _difference(place: Place, result: Path, dataset: Dataset) -> str:
    """Empty if the receiver has what the sender has. What else is in a tree is left there by most tools."""
    if not place.tree:
        return "" if result.is_file() and sha256(result) == dataset.new.sha256 else "wrong result"
    for path in place.target.rglob("*"):
        if path.is_file():
            copy = result / path.relative_to(place.target)
            if not copy.is_file() or not filecmp.cmp(path, copy, shallow=False):
                return f"wrong result: {path.relative_to(place.target)}"
    return ""


def _tail(errors: BinaryIO) -> str:
    errors.seek(0)
    return errors.read()[-ERROR_LENGTH:].decode("utf-8", "replace").strip()


def _failed(case: Case, error: str) -> Transfer:
    return Transfer(
        tool=case.tool,
        dataset=case.dataset,
        net=case.net,
        repetition=case.repetition,
        seconds=0.0,
        to_receiver=0,
        to_sender=0,
        cpu_sender=0.0,
        cpu_receiver=0.0,
        cpu_other=0.0,
        rss_sender=0,
        rss_receiver=0,
        ok=False,
        error=error,
    )


def local_delta(tool: str, pair: Path, store: Path, timeout: float) -> tuple[float, int]:
    """(seconds, bytes) of a delta between both versions, made with both at hand: the least that must be sent.

    Raises:
        BenchmarkError: the tool failed.
    """
    store.mkdir(parents=True, exist_ok=True)
    out = store / "delta"
    old, new = str(pair / "old"), str(pair / "new")
    window = str(max(64 << 20, min((1 << 31) - 1, (pair / "old").stat().st_size)))
    command = {
        "zstd": ["zstd", "-q", "-f", "-3", "--long=31", f"--patch-from={old}", new, "-o", str(out)],
        "xdelta3": ["xdelta3", "-e", "-f", "-1", "-B", window, "-s", old, new, str(out)],
    }[tool]
    start = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{tool}: no delta within {timeout:.0f} s") from error
    took = time.monotonic() - start
    if done.returncode:
        raise BenchmarkError(f"{tool}: {done.stderr.strip()[-ERROR_LENGTH:]}")
    size = out.stat().st_size
    out.unlink()
    return took, size
