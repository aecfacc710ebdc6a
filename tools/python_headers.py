"""Print the directory of Python.h, for the build; if it is not installed, fetch it from the distribution's archive.

Debian and Ubuntu ship Python's headers apart from Python. Installing them needs root; this does not: apt-get fetches
and verifies the package, and only its headers are unpacked, into the virtual environment whose Python runs this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

VERSION = sysconfig.get_python_version()
INSTALLED = Path(sysconfig.get_path("include"))
FETCHED = Path(sys.prefix, "include", INSTALLED.name)
PACKAGE = f"libpython{VERSION}-dev"
APT_GET = ("apt-get", "-qq", "-o", "APT::Sandbox::User=root")


class HeadersError(Exception):
    """Why there are no headers."""


def run(*command: str | Path, cwd: Path) -> None:
    """Run `command`, quietly.

    Raises:
        HeadersError: it failed, or is not there; the message is the first line it said.
    """
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError as error:
        raise HeadersError(f"there is no {command[0]}") from error
    if done.returncode:
        raise HeadersError(done.stderr.strip().partition("\n")[0] or f"{command[0]} failed")


def download(directory: Path) -> Path:
    """The package, below `directory`. The machine's package lists may be old or removed: then it takes own ones."""
    try:
        run(*APT_GET, "download", PACKAGE, cwd=directory)
    except HeadersError:
        lists = directory / "lists"
        (lists / "partial").mkdir(parents=True)
        own = ("-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={directory}")
        run(*APT_GET, *own, "--error-on=any", "update", cwd=directory)
        run(*APT_GET, *own, "download", PACKAGE, cwd=directory)
    return next(directory.glob("*.deb"))


def fetch() -> None:
    """Make `FETCHED`, complete or not at all."""
    with tempfile.TemporaryDirectory(dir=sys.prefix) as work:
        directory = Path(work)
        run("dpkg-deb", "-x", download(directory), directory, cwd=directory)
        headers = directory / INSTALLED.relative_to("/")
        # The package's pyconfig.h only includes that of the architecture, by a path below /usr/include.
        architecture = headers.parent / str(sysconfig.get_config_var("MULTIARCH")) / headers.name / "pyconfig.h"
        try:
            shutil.copy(architecture, headers / "pyconfig.h")
            FETCHED.parent.mkdir(exist_ok=True)
            shutil.rmtree(FETCHED, ignore_errors=True)
            os.rename(headers, FETCHED)
        except FileNotFoundError as error:
            raise HeadersError(f"{PACKAGE} has no {error.filename}") from error


def main() -> int:
    for headers in (INSTALLED, FETCHED):
        if (headers / "Python.h").exists():
            print(headers)
            return 0
    print(f"{INSTALLED}/Python.h is not installed, fetching it out of {PACKAGE} into {FETCHED}", file=sys.stderr)
    try:
        fetch()
    except HeadersError as error:
        print(f"that failed ({error}); install python{VERSION}-dev, or what else brings that file", file=sys.stderr)
        return 1
    print(FETCHED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
