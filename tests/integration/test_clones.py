"""File systems that can share storage between files, on loop devices: needs root, and the tools that make them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from parasync.api import sync
from parasync.options import Options

MAKERS = {"xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"], "btrfs": ["mkfs.btrfs", "-q"]}
SIZE = 48 << 20


@pytest.fixture(params=MAKERS)
def clones(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """An empty file system that clones."""
    maker = MAKERS[request.param]
    if os.geteuid() != 0 or shutil.which(maker[0]) is None:
        pytest.skip(f"needs root and {maker[0]}: apt-get install xfsprogs btrfs-progs")
    image, where = tmp_path / "image", tmp_path / "mounted"
    with open(image, "wb") as file:
        file.truncate(512 << 20)
    where.mkdir()
    subprocess.run([*maker, image], check=True, capture_output=True)
    mounted = subprocess.run(["mount", "-o", "loop", image, where], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount {request.param} here: {mounted.stderr.decode().strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", where], check=True)


def used(where: Path) -> int:
    os.sync()
    status = os.statvfs(where)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def test_what_is_reused_is_shared_and_not_written_again(clones: Path, tmp_path: Path) -> None:
    old = random.Random(1).randbytes(SIZE)
    (clones / "file").write_bytes(old)
    new = bytearray(old)
    for place in range(0, SIZE, 4 << 20):
        new[place : place + 100] = bytes(100)
    (tmp_path / "file").write_bytes(new)
    with open(clones / "file", "rb"):  # the old file stays while it is open: what both hold counts once
        before = used(clones)
        report = sync(tmp_path / "file", clones / "file", Options(ignore_times=True))
        after = used(clones)
    assert report.status == "ok"
    assert (clones / "file").read_bytes() == new
    assert report.totals.bytes_literal < SIZE // 10
    assert after - before < SIZE // 4


def test_moved_data_is_copied_where_blocks_do_not_fit(clones: Path, tmp_path: Path) -> None:
    old = random.Random(1).randbytes(SIZE)
    (clones / "file").write_bytes(old)
    (tmp_path / "file").write_bytes(b"x" + old)
    report = sync(tmp_path / "file", clones / "file", Options(ignore_times=True))
    assert report.status == "ok"
    assert (clones / "file").read_bytes() == b"x" + old
    assert report.totals.bytes_copied > SIZE * 9 // 10
