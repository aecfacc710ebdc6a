"""Disks and files that refuse: the right line and exit code, the old file intact, nothing left behind."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from parasync.api import sync
from parasync.errors import FileError
from parasync.server import Module
from support import leftovers, serving
from unprivileged import as_nobody, give_away

BIG = random.Random(3).randbytes(12_000_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB; needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"cannot mount a small file system: {made.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("old", [b"", BIG[:3_000_000]], ids=["new file", "old file"])
@pytest.mark.parametrize("route", ["local", "push", "pull"])
def test_no_space_ends_the_run(small_disk: Path, tmp_path: Path, route: str, old: bytes) -> None:
    source = tmp_path / "file"
    source.write_bytes(BIG)
    target = small_disk / "file"
    if old:
        target.write_bytes(old)
    near, far = Module("near", os.fsencode(tmp_path), True), Module("far", os.fsencode(small_disk), False)
    with serving(near, far) as url:
        froms, to = {
            "local": (str(source), str(target)),
            "push": (str(source), f"{url}/far/file"),
            "pull": (f"{url}/near/file", str(target)),
        }[route]
        with pytest.raises(FileError, match=r"No space left on device \(free some space") as caught:
            sync(froms, to)
    assert caught.value.exit_code == 11
    assert "\n" not in str(caught.value)
    assert leftovers(small_disk) == []
    if old:
        assert target.read_bytes() == old
    else:
        assert os.listdir(small_disk) == []


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        yield Path(place)


@pytest.mark.parametrize("route", ["local", "push", "pull"])
def test_an_unreadable_file_fails_alone(public: Path, route: str) -> None:
    source = public / "source"
    source.mkdir()
    (public / "target").mkdir(mode=0o777)
    (source / "secret").write_bytes(b"secret")
    (source / "big").write_bytes(BIG[:1_000_000])
    (source / "open").write_bytes(b"open")
    for name in ("secret", "big"):
        (source / name).chmod(0)
    give_away(public / "target")
    with as_nobody(), serving(Module("m", os.fsencode(public), False)) as url:
        froms, to = {
            "local": (f"{source}/", f"{public}/target"),
            "push": (f"{source}/", f"{url}/m/target"),
            "pull": (f"{url}/m/source/", f"{public}/target"),
        }[route]
        report = sync(froms, to)
    assert report.status == "partial"
    assert sorted(failure.path for failure in report.failures) == [b"big", b"secret"]
    assert all("Permission denied" in failure.message for failure in report.failures)
    assert report.totals.files_failed == 2
    assert os.listdir(public / "target") == ["open"]


def test_a_directory_that_must_not_be_written_fails_its_files_only(public: Path) -> None:
    source = public / "source"
    (source / "shut").mkdir(parents=True)
    (source / "shut/file").write_bytes(b"1")
    (source / "other").write_bytes(b"2")
    (public / "target/shut").mkdir(parents=True)
    give_away(public / "target")
    if os.geteuid() != 0:
        pytest.skip("only root can make a directory that another user owns")
    with as_nobody():
        report = sync(f"{source}/", public / "target")
    assert report.status == "partial"
    assert b"shut/file" in {failure.path for failure in report.failures}
    assert (public / "target/other").read_bytes() == b"2"
    assert leftovers(public) == []


def test_a_basis_that_is_cut_short_while_it_is_used_costs_bytes_and_nothing_else(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(BIG + b"more")
    target.write_bytes(BIG)
    stop = threading.Event()

    def cut() -> None:
        while not stop.is_set():
            if leftovers(tmp_path):
                os.truncate(target, 1000)
                return

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        report = sync(source, target)
    finally:
        stop.set()
        thread.join()
    assert report.status == "ok"
    assert target.read_bytes() == BIG + b"more"
