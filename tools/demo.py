"""The demonstration, `make demo`: real files go to a server on this machine and back, changed in between.

A tree of a few thousand files and one big file are pushed, changed as people change files, pushed again and pulled
back; a table tells what was reused, what was sent and how long it took; then every byte, mode and time is compared.
The exit code is 0 only if all of it is right. Everything happens in a temporary directory, which is removed.
"""

from __future__ import annotations

import argparse
import filecmp
import itertools
import json
import mmap
import os
import random
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

MB = 1_000_000
TREE_FILES = 3000
SEED = 20260216
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
TREE_ROOTS = (STANDARD_LIBRARY, Path(sysconfig.get_path("purelib")))
BIG_ROOTS = (STANDARD_LIBRARY, Path("/usr/lib"), Path("/usr/bin"))
SUBJECTS = ("tree", "big")


class DemoError(Exception):
    """Why the demonstration failed."""


class Row(NamedTuple):
    """One line of the table: what was done to what, the summary of `parasync sync --json`, wall seconds."""

    step: str
    subject: str
    summary: dict[str, int]
    seconds: float
    rsync_seconds: float | None = None


def files_below(root: Path) -> Iterator[Path]:
    """Readable regular files, in an order that is the same each time."""
    for directory, names, files in os.walk(root):
        names.sort()
        for name in sorted(files):
            path = Path(directory, name)
            if not path.is_symlink() and path.is_file() and os.access(path, os.R_OK):
                yield path


def make_tree(tree: Path) -> None:
    """Copy files of the Python installation, with their times; add what a real tree has besides files."""
    pairs = ((root, path) for root in TREE_ROOTS for path in files_below(root))
    for root, path in itertools.islice(pairs, TREE_FILES):
        copy = tree / root.name / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    (tree / "empty directory").mkdir()
    (tree / "link").symlink_to(STANDARD_LIBRARY.name)
    script = tree / "grüße.sh"
    script.write_text("#!/bin/sh\necho hello\n", encoding="utf-8")
    script.chmod(0o750)


def make_big(path: Path, size: int) -> None:
    """One file out of many: libraries, programs and sources of this machine, one after the other."""
    with path.open("wb") as out:
        for source in (one for root in BIG_ROOTS for one in files_below(root)):
            with source.open("rb") as file:
                out.write(file.read(size - out.tell()))
            if out.tell() >= size:
                return


def change_tree(tree: Path, chance: random.Random) -> None:
    """Edit some files, append to some, add some, rename some."""
    files = [path for path in files_below(tree) if path.stat().st_size > 1000]
    edited, appended, renamed, copied = (chance.sample(files, len(files) // share) for share in (25, 50, 50, 50))
    for path in edited:
        content = path.read_bytes()
        place = chance.randrange(len(content))
        path.write_bytes(content[:place] + b"# a line that was not there before\n" + content[place + 20 :])
    for path in appended:
        with path.open("ab") as file:
            file.write(b"# one more line at the end\n" * 10)
    for path in copied:
        shutil.copyfile(path, path.with_name("new-" + path.name))
    for path in renamed:
        path.rename(path.with_name("renamed-" + path.name))


def change_big(path: Path, chance: random.Random) -> None:
    """Move one sixteenth, insert in the middle, append, and overwrite a few bytes in many places."""
    changed = path.with_name("big.changed")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as old:
        part = len(old) // 16
        with changed.open("wb") as out:
            for start, end in ((0, 3), (10, 11), (3, 8)):
                out.write(old[start * part : end * part])
            out.write(chance.randbytes(100_000))
            out.write(old[8 * part : 10 * part])
            out.write(old[11 * part :])
            out.write(chance.randbytes(MB))
            for _ in range(200):
                out.seek(chance.randrange(len(old)))
                out.write(chance.randbytes(50))
    changed.replace(path)


@contextmanager
def server(root: Path) -> Iterator[str]:
    """`parasync serve` on a free port of this machine; gives the URL of its module."""
    command = [sys.executable, "-m", "parasync", "serve", "--listen", "127.0.0.1:0", "--module", f"demo={root}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("listening on "):
                process.terminate()
                raise DemoError(f"the server did not start: {process.communicate()[1].strip()}")
            yield f"parasync://{line.removeprefix('listening on ').strip()}/demo"
        finally:
            process.terminate()


def sync(step: str, subject: str, source: str, destination: str) -> Row:
    """Run `parasync sync`; the summary is the last line it prints."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "parasync", "sync", "-a", "--json", source, destination],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise DemoError(f"{step} of {subject} ended with exit code {done.returncode}: {done.stderr.strip()}")
    return Row(step, subject, json.loads(done.stdout.splitlines()[-1]), seconds)


def rsync_seconds(source: Path, destination: Path) -> float | None:
    """What rsync takes for the same changes; None if it is not installed."""
    if not shutil.which("rsync"):
        return None
    started = time.perf_counter()
    subprocess.run(["rsync", "-a", "--no-whole-file", source, f"{destination}/"], check=True)
    return time.perf_counter() - started


def differences(expected: Path, actual: Path) -> Iterator[str]:
    """What of `expected` is not the same in `actual`: type, mode, time, content, link target."""
    found = [expected, *(Path(top, name) for top, names, files in os.walk(expected) for name in (*names, *files))]
    for path in found:
        name = path.relative_to(expected.parent)
        twin = actual.parent / name
        if not os.path.lexists(twin):
            yield f"{name} is missing"
            continue
        one, other = path.lstat(), twin.lstat()
        if one.st_mode != other.st_mode:
            yield f"{name}: mode {stat.filemode(other.st_mode)}, not {stat.filemode(one.st_mode)}"
        elif stat.S_ISLNK(one.st_mode):
            if path.readlink() != twin.readlink():
                yield f"{name} links to {twin.readlink()}, not {path.readlink()}"
        elif one.st_mtime_ns != other.st_mtime_ns:
            yield f"{name}: modified {other.st_mtime_ns}, not {one.st_mtime_ns}"
        elif stat.S_ISREG(one.st_mode) and not filecmp.cmp(path, twin, shallow=False):
            yield f"{name}: another content"


def verify(expected: Path, actual: Path) -> None:
    """Compare two trees or files; what only `actual` has is what a rename or removal left behind.

    Raises:
        DemoError: there are differences; the first are named.
    """
    wrong = list(itertools.islice(differences(expected, actual), 5))
    if wrong:
        raise DemoError(f"{actual} is not {expected}: " + "; ".join(wrong))


def run(work: Path, size: int) -> None:
    """The whole demonstration, below `work`."""
    local, remote, pulled, twin = (work / name for name in ("local", "remote", "pulled", "rsync"))
    for directory in (local / "tree", remote):
        directory.mkdir(parents=True)
    print("making a tree and a big file out of what is installed here ...")
    make_tree(local / "tree")
    make_big(local / "big", size)
    chance = random.Random(SEED)  # noqa: S311 - changes that are the same each time
    with server(remote) as url:
        rows = [sync("first push", one, str(local / one), url) for one in SUBJECTS]
        for before in (pulled, twin) if shutil.which("rsync") else (pulled,):
            shutil.copytree(remote, before, symlinks=True)
        change_tree(local / "tree", chance)
        change_big(local / "big", chance)
        for one in SUBJECTS:
            row = sync("push again", one, str(local / one), url)
            rows.append(row._replace(rsync_seconds=rsync_seconds(local / one, twin)))
        rows += [sync("pull back", one, f"{url}/{one}", str(pulled)) for one in SUBJECTS]
    print_table(rows)
    for expected, actual in ((local, remote), (remote, pulled), (pulled, remote)):
        for one in SUBJECTS:
            verify(expected / one, actual / one)
    print("verified: every content, mode and time is the same at both ends")


def print_table(rows: list[Row]) -> None:
    """Sizes in MB, of the files that changed: their content was copied from what was there, or sent."""
    print(f"\n{'':12}{'':6}{'files':>7}{'changed':>9}{'MB':>9}{'reused':>9}{'sent':>9}{'seconds':>9}{'rsync':>9}")
    for row in rows:
        summary = row.summary
        total, reused, sent = (summary[f"bytes_{name}"] / MB for name in ("target", "copied", "literal"))
        rsync = "" if row.rsync_seconds is None else f"{row.rsync_seconds:.2f}"
        print(
            f"{row.step:12}{row.subject:6}{summary['files_total']:7}{summary['files_sent']:9}"
            f"{total:9.1f}{reused:9.1f}{sent:9.1f}{row.seconds:9.2f}{rsync:>9}"
        )
    print()


def main() -> int:
    parser = argparse.ArgumentParser(description="Sync real files over loopback and verify every byte.")
    parser.add_argument("--size", type=int, default=256, metavar="MB", help="size of the big file (default: 256)")
    size = parser.parse_args().size * MB
    with tempfile.TemporaryDirectory(prefix="parasync-demo-") as work:
        if shutil.disk_usage(work).free < 6 * size:
            print(f"demo: {work} has too little space: set TMPDIR, or use --size", file=sys.stderr)
            return 1
        try:
            run(Path(work), size)
        except DemoError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
