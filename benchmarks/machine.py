"""What the benchmarks run on: described in every result, and measured by `python -m benchmarks machine`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import click

from benchmarks.lab.system import attempt, search_path
from benchmarks.results import Machine
from parasync import __version__
from parasync.kernels import usable_kernels

VERSION_COMMANDS = {
    "rsync": ("--version",),
    "zsync": ("-V",),
    "casync": ("--version",),
    "rdiff": ("--version",),
    "rclone": ("version",),
    "unison": ("-version",),
    "nginx": ("-v",),
    "zstd": ("--version",),
    "xdelta3": ("-V",),
    "tc": ("-V",),
}
PACKAGES = ("pyfastcdc", "fastcdc", "tilecdc", "pith-cdc", "hf-xet", "borgbackup")


def describe(commands: Iterable[str] = VERSION_COMMANDS, packages: Iterable[str] = PACKAGES) -> Machine:
    """This machine, with the versions of those commands and Python packages that are installed."""
    versions = {name: found for name in commands if (found := command_version(name))}
    versions |= {name: found for name in packages if (found := package_version(name))}
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        python=platform.python_version(),
        parasync=__version__,
        kernels=usable_kernels(),
        load=round(os.getloadavg()[0], 2),
        versions=versions,
    )


def command_version(name: str) -> str | None:
    """What the command calls its version; None if it is not installed."""
    if shutil.which(name, path=search_path()) is None:
        return None
    said = attempt(name, *VERSION_COMMANDS[name]).stdout
    found = re.search(r"\d+(?:\.\d+)+[^\s,;)]*", said) or re.search(r"\b\d+\b", said)
    return found.group() if found else "unknown"


def package_version(name: str) -> str | None:
    """Version of an installed Python package; None if it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def facts(machine: Machine) -> list[str]:
    """The same, a line each."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return [
        f"{machine.cpu}, {machine.cores} cores, {machine.memory / 2**30:.0f} GiB, Linux {machine.kernel}, "
        f"load {machine.load}",
        f"ParaSync {machine.parasync}, kernels {' '.join(machine.kernels)}, Python {machine.python}",
        *([versions] if versions else []),
    ]


@click.command("machine", short_help="Tell what this machine is and reaches.")
@click.option("--disk", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path.cwd())
@click.option("--size", default=512, show_default=True, metavar="MB", help="Of the files that are written and read.")
def command(disk: Path, size: int) -> None:
    """Tell what this machine is, and what it reaches without any tool: memory, files, hashes, loopback.

    Files are written below --disk (default: here) and in /dev/shm, and removed.
    """
    from benchmarks.limits import machine_limits  # noqa: PLC0415

    for line in facts(describe()):
        click.echo(line)
    for line in machine_limits(disk, size * 10**6):
        click.echo(line)
