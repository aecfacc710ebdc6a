"""`parasync doctor`: what this machine and this file system can do."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable

import click

from parasync import __version__
from parasync.cli.command import Command
from parasync.cli.lines import print_json, print_line
from parasync.errors import FileError, describe_os_error

FICLONE = 0x40049409
"""linux/fs.h: share the blocks of another file."""
PROBE_BYTES = 64 * 1024
HOLE_BYTES = 4 * 1024 * 1024
PROBE_TIME = 1_600_000_001_123_456_789
"""Nanoseconds whose digits show where a file system cuts them off."""
GRANULARITIES = (1, 10, 100, 1000, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9, 2 * 10**9)
_UNABLE = {
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EINVAL,
    errno.ENOTTY,
    errno.EXDEV,
    errno.EISDIR,
    errno.EILSEQ,
    errno.EPERM,
}
"""How kernels and file systems say that they cannot; anything else is a failure of the probe itself."""

EPILOG = """\b
Examples:
  parasync doctor
  parasync doctor /srv/backup --json
"""


@click.command(
    "doctor",
    cls=Command,
    epilog=EPILOG,
    short_help="Tell what this machine and file system can do.",
    context_settings={"max_content_width": 112},
)
@click.argument("directory", type=click.Path(path_type=bytes), default=b".")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, directory: bytes, as_json: bool) -> int:
    """Tell the CPU's features, the kernels, and what the file system of DIRECTORY (default: here) can do.

    The file system is tried with small files in a temporary directory, which is removed.
    """
    from parasync.kernels import active_kernel, cpu_features, usable_kernels  # noqa: PLC0415

    failure: FileError | None = None
    file_system: dict[str, object] = {"path": os.fsdecode(os.path.abspath(directory))}
    try:
        file_system.update(probe(directory))
    except FileError as error:
        failure = error
        file_system["error"] = str(error)
    facts: dict[str, object] = {
        "version": __version__,
        "python": sys.version.split()[0],
        "cores": len(os.sched_getaffinity(0)),
        "cpu_features": list(cpu_features()),
        "kernels": list(usable_kernels()),
        "kernel": active_kernel(),
        "file_system": file_system,
    }
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)
    if failure is not None:
        raise failure
    return 0


def print_facts(facts: dict[str, object], indent: str = "") -> None:
    """One fact a line, nested ones indented."""
    for name, value in facts.items():
        label = f"{indent}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            print_line(f"{label}:")
            print_facts(value, indent + "  ")
        elif isinstance(value, bool):
            print_line(f"{label}: {'yes' if value else 'no'}")
        else:
            print_line(f"{label}: {' '.join(map(str, value)) if isinstance(value, list) else value}")


def probe(directory: bytes) -> dict[str, bool | int | None]:
    """What the file system of `directory` can do, found out by doing it.

    `mtime_granularity` is in nanoseconds, None if it is none of the usual ones.

    Raises:
        FileError: nothing can be created there.
    """
    try:
        place = tempfile.mkdtemp(prefix=b".parasync-doctor-", dir=directory)
        try:
            with open(os.path.join(place, b"basis"), "w+b", buffering=0) as basis:
                basis.write(os.urandom(PROBE_BYTES))
                return _abilities(place, basis.fileno())
        finally:
            shutil.rmtree(place)
    except OSError as error:
        raise FileError(describe_os_error("try out files in", directory, error)) from error


def _abilities(place: bytes, basis: int) -> dict[str, bool | int | None]:
    return {
        "reflink": _works(lambda: _reflink(place, basis)),
        "copy_file_range": _works(lambda: _copy_file_range(place, basis)),
        "sparse": _works(lambda: _sparse(place)),
        "o_tmpfile": _works(lambda: os.close(os.open(place, os.O_TMPFILE | os.O_RDWR, 0o600))),
        "fsync": _works(lambda: _fsync(place, basis)),
        "non_utf8_names": _works(lambda: _create(place, b"name-\xff-\xfe")),
        "mtime_granularity": _mtime_granularity(basis),
    }


class _UnableError(Exception):
    """The call succeeded, but what it promises did not happen."""


def _works(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
        return False
    except _UnableError:
        return False
    return True


def _reflink(place: bytes, basis: int) -> None:
    with open(os.path.join(place, b"reflink"), "wb") as copy:
        fcntl.ioctl(copy.fileno(), FICLONE, basis)


def _copy_file_range(place: bytes, basis: int) -> None:
    with open(os.path.join(place, b"range"), "wb") as copy:
        if os.copy_file_range(basis, copy.fileno(), PROBE_BYTES, 0, 0) == 0:
            raise _UnableError


def _sparse(place: bytes) -> None:
    """A hole takes no blocks, and SEEK_DATA jumps over it."""
    with open(os.path.join(place, b"sparse"), "wb", buffering=0) as file:
        os.pwrite(file.fileno(), bytes(PROBE_BYTES - 1) + b"\x01", HOLE_BYTES)
        os.fsync(file.fileno())
        blocks = os.fstat(file.fileno()).st_blocks * 512
        if blocks >= HOLE_BYTES or os.lseek(file.fileno(), 0, os.SEEK_DATA) == 0:
            raise _UnableError


def _fsync(place: bytes, basis: int) -> None:
    """Of a file, and of the directory that names it."""
    os.fsync(basis)
    directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _create(place: bytes, name: bytes) -> None:
    with open(os.path.join(place, name), "wb"):
        pass
    if name not in os.listdir(place):
        raise _UnableError


def _mtime_granularity(basis: int) -> int | None:
    os.utime(basis, ns=(PROBE_TIME, PROBE_TIME))
    kept = os.fstat(basis).st_mtime_ns
    return next((unit for unit in GRANULARITIES if kept == PROBE_TIME - PROBE_TIME % unit), None)
