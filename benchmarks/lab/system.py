"""Running the system's commands: root needed, one clear line when one fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.errors import BenchmarkError

Argument = str | Path | int | float


def require_root() -> None:
    """
    Raises:
        BenchmarkError: the user is not root.
    """
    if os.geteuid() != 0:
        raise BenchmarkError("the lab needs root, for network namespaces, tc and cgroups: run it with sudo or as root")


def require(*commands: str) -> None:
    """
    Raises:
        BenchmarkError: one of the commands is not installed.
    """
    missing = [command for command in commands if shutil.which(command, path=search_path()) is None]
    if missing:
        raise BenchmarkError(f"not installed: {', '.join(missing)}; docs/benchmarks.md names the packages")


def search_path() -> str:
    """PATH with the administrator's directories, which not every root has."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def environment(**more: str) -> dict[str, str]:
    """This process' environment with `search_path`, and what is named."""
    return {**os.environ, "PATH": search_path(), **more}


def run(*argv: Argument, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """What a command prints.

    Raises:
        BenchmarkError: it failed; with the last lines it printed.
    """
    done = attempt(*argv, cwd=cwd, env=env)
    if done.returncode:
        said = " ".join(done.stdout.strip().splitlines()[-3:])
        raise BenchmarkError(f"{' '.join(map(str, argv))}: exit code {done.returncode}: {said}")
    return done.stdout


def attempt(
    *argv: Argument, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail; its errors are in its output."""
    try:
        return subprocess.run(
            [str(one) for one in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            cwd=cwd,
            env=env or environment(),
        )
    except FileNotFoundError as error:
        raise BenchmarkError(f"{argv[0]} is not installed; docs/benchmarks.md names the packages") from error
