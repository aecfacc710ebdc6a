"""Build the Python-free test of the kernels and run it: natively, or for ARM64 under emulation.

    python native/tests/run.py
    python native/tests/run.py --arm

Exits with 2 and one line if a tool is missing, with 1 if the test fails.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build"

CANNOT_RUN = 2


class Target(NamedTuple):
    """Where the test runs: its compiler, what else CMake must know, what starts it, the kernel it must meet there."""

    name: str
    compiler: str
    package: str
    definitions: tuple[str, ...]
    emulator: tuple[str, ...]
    kernel: str


NATIVE = Target("native-test", os.environ.get("CXX", "c++"), "g++", (), (), "portable")
ARM = Target(
    "arm-test",
    "aarch64-linux-gnu-g++",
    "g++-aarch64-linux-gnu",
    ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"),
    ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"),
    "neon",
)


def cannot_run(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(CANNOT_RUN)


def tool(name: str, remedy: str) -> str:
    """The path of `name`, also beside this Python."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        cannot_run(f"{name} is missing; run: {remedy}")
    return found


def run(*command: str | Path, quiet: bool = False) -> None:
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE if quiet else None, text=True)
    if done.returncode != 0:
        print(done.stdout or "", end="", file=sys.stderr)
        print(f"failed: {' '.join(map(str, command))}", file=sys.stderr)
        sys.exit(1)


def build(target: Target, directory: Path) -> None:
    """Compile the test for `target` and write its data into `directory`."""
    cmake = tool("cmake", "pip install cmake")
    make = tool("make", "apt-get install make")
    compiler = tool(target.compiler, f"apt-get install {target.package}")
    generator = ("-G", "Unix Makefiles", f"-DCMAKE_MAKE_PROGRAM={make}", f"-DCMAKE_CXX_COMPILER={compiler}")
    run(cmake, "-S", HERE, "-B", directory, *generator, *target.definitions, quiet=True)
    run(cmake, "--build", directory, "--parallel", str(len(os.sched_getaffinity(0))), quiet=True)
    run(sys.executable, HERE / "write_golden.py", directory / "golden.bin")


def main() -> None:
    parser = argparse.ArgumentParser(description="Build and run the Python-free test of the kernels.")
    parser.add_argument("--arm", action="store_true", help="cross-compile for ARM64 and run it under qemu-user")
    target = ARM if parser.parse_args().arm else NATIVE
    emulator = target.emulator
    if emulator:
        emulator = (tool(emulator[0], "apt-get install qemu-user"), *emulator[1:])
    directory = BUILD / target.name
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:  # of several runs at once, each builds and runs in its turn
        fcntl.flock(lock, fcntl.LOCK_EX)
        build(target, directory)
        run(*emulator, directory / "kernels_test", directory / "golden.bin", target.kernel)


if __name__ == "__main__":
    main()
