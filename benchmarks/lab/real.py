"""Datasets of real releases: sources, binary packages, a tree of files, a disk image."""

from __future__ import annotations

import os
import random
import shutil
import tarfile
import zipfile
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.lab.builder import PYTHON_TREES, WHEELS, Builder
from benchmarks.lab.system import environment, require, require_root, run

LINUX = ("6.1.170-3", "6.1.192-2")
"""Releases of linux-source-6.1 in Debian 12. Of replaced ones the archive keeps only the newest few."""
LINUX_SKIPPED = "drivers/"
"""More than half of the kernel; left out for the size."""
BASE_PACKAGES = {"medium": ["python3", "perl", "gcc", "openssl", "curl", "openssh-client"], "small": []}
MORE_PACKAGES = {"medium": ["build-essential", "git", "python3-numpy", "vim", "postgresql-15"], "small": ["git"]}
IMAGE_SIZE = {"medium": "1500M", "small": "500M"}
IMAGE_UUID = "00000000-0000-4000-8000-000000000001"
IMAGE_OPTIONS = "hash_seed=00000000-0000-4000-8000-000000000002,lazy_itable_init=0,lazy_journal_init=0"
IMAGE_TIME = "1700000000"
APT_FILES = ("/etc/apt/sources.list.d", "/etc/apt/apt.conf.d", "/usr/share/keyrings")
APT_UNWANTED = "/etc/apt/apt.conf.d/20packagekit /etc/apt/apt.conf.d/50appstream"


def source(builder: Builder) -> dict[str, str]:
    """Source code of two releases, all files one after the other."""
    place = builder.fresh("source")
    if builder.medium:
        for version, name in zip(LINUX, ("old", "new"), strict=True):
            _concatenate_tar(_linux(builder, version), place / name)
        how = f"files of Debian's linux-source-6.1 {LINUX[0]} -> {LINUX[1]}, without {LINUX_SKIPPED}"
    else:
        for requirement, name in zip(PYTHON_TREES["small"], ("old", "new"), strict=True):
            builder.concatenate([requirement], place / name)
        how = "files of the wheels " + " -> ".join(PYTHON_TREES["small"])
    return {"source": f"{how}, concatenated"}


def _linux(builder: Builder, version: str) -> Path:
    """The kernel's sources, as a tar."""
    tar = builder.cache / f"linux-{version}.tar"
    if tar.exists():
        return tar
    require("apt-get", "dpkg-deb", "tar", "xz")
    directory = builder.cache / "debs"
    directory.mkdir(exist_ok=True)
    directory.chmod(0o777)  # apt downloads as a user of its own
    package = directory / f"linux-source-6.1_{version}_all.deb"
    if not package.exists():
        run("apt-get", "download", f"linux-source-6.1={version}", cwd=directory)
    part = tar.with_suffix(".part")
    unpack = f"tar -xO ./usr/src/linux-source-6.1.tar.xz | xz -dc -T0 > '{part}'"
    run("bash", "-c", f"set -o pipefail; dpkg-deb --fsys-tarfile '{package}' | {unpack}")
    return part.rename(tar)


def _concatenate_tar(path: Path, out: Path) -> None:
    with tarfile.open(path, "r:") as tar:
        members = [(one.name.partition("/")[2] or one.name, one.offset_data, one.size) for one in tar if one.isreg()]
    with path.open("rb") as raw, out.open("wb") as target:
        for name, offset, size in sorted(members):
            if not name.startswith(LINUX_SKIPPED):
                raw.seek(offset)
                target.write(raw.read(size))


def packages(builder: Builder) -> dict[str, str]:
    """Binary packages of two releases, all files one after the other."""
    place = builder.fresh("packages")
    old, new = WHEELS[builder.size]
    for requirements, name in ((old, "old"), (new, "new")):
        builder.concatenate(requirements, place / name)
    return {"packages": f"files of the wheels {', '.join(old)} -> {', '.join(new)}, concatenated"}


def tree(builder: Builder) -> dict[str, str]:
    """Two releases as trees; of the new one's files some are renamed, and some directories moved."""
    place = builder.fresh("tree")
    releases = PYTHON_TREES[builder.size]
    for requirement, name in zip(releases, ("old", "new"), strict=True):
        with zipfile.ZipFile(builder.wheel(requirement)) as wheel:
            wheel.extractall(place / name)
    new = place / "new"
    chance = random.Random(7)
    files = sorted(path for path in new.rglob("*") if path.is_file())
    renamed = chance.sample(files, len(files) // 50)
    for path in renamed:
        path.rename(path.with_name("renamed_" + path.name))
    directories = sorted(path for path in new.rglob("*") if path.is_dir() and len(list(path.iterdir())) > 3)
    (new / "moved").mkdir()
    moved = 0
    for number, path in enumerate(chance.sample(directories, min(20, len(directories)))):
        if path.exists():  # it may have moved with one above it
            path.rename(new / "moved" / f"{number}_{path.name}")
            moved += 1
    how = f"{len(renamed)} files renamed, {moved} directories moved (seed 7); {len(files)} files"
    return {"tree": f"wheels {' -> '.join(releases)}, unpacked; {how}"}


def disk_image(builder: Builder) -> dict[str, str]:
    """A sparse ext4 image of a Debian system, before and after a real upgrade and installations."""
    require_root()
    require("debootstrap", "mkfs.ext4", "truncate", "rsync", "mount", "chroot")
    place = builder.fresh("vm")
    old, new = (builder.cache / f"root-{builder.size}-{name}" for name in ("old", "new"))
    _make_system(old, BASE_PACKAGES[builder.size])
    _make_upgraded(new, old, MORE_PACKAGES[builder.size])
    size = IMAGE_SIZE[builder.size]
    _make_image(place / "old", old, size)
    run("cp", "--sparse=always", place / "old", place / "new")
    try:
        _change_image(place / "new", new)
        how = "mounted, and changed by rsync: blocks of unchanged files stay where they were"
    except BenchmarkError:
        (place / "new").unlink()
        _make_image(place / "new", new, size)
        how = "made afresh, since nothing can be mounted through a loop device here"
    base, more = (" ".join(one[builder.size]) for one in (BASE_PACKAGES, MORE_PACKAGES))
    return {"vm": f"{size} sparse ext4 image of Debian 12 with {base}; new: upgraded, with {more}; {how}"}


def _make_system(root: Path, packages: list[str]) -> None:
    """A minimal Debian in a directory, unless it is there."""
    if (root / "done").exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    include = ["--include=" + ",".join(packages)] if packages else []
    run("debootstrap", "--variant=minbase", *include, "bookworm", root, _debian_archive())
    (root / "done").touch()


def _debian_archive() -> str:
    """Where this host has its packages from.

    Raises:
        BenchmarkError: it is no Debian 12.
    """
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    lines = sources.read_text().splitlines() if sources.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("URIs:")]
    if not found:
        raise BenchmarkError(f"{sources} names no archive: the dataset vm can be built on Debian 12 only")
    return found[0]


def _make_upgraded(root: Path, base: Path, packages: list[str]) -> None:
    """A copy of `base`, upgraded and with more packages, unless it is there."""
    if (root / "done").exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    run("cp", "-a", base, root)
    (root / "done").unlink()
    for path in ("/etc/resolv.conf", "/etc/hosts"):
        if Path(path).exists():
            shutil.copy(path, f"{root}{path}")
    for path in APT_FILES:
        run("cp", "-a", f"{path}/.", f"{root}{path}")
    (root / "etc/apt/sources.list").write_text("")
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")  # no service is to start
    policy.chmod(0o755)
    steps = [
        f"rm -f {APT_UNWANTED}",
        "apt-get -qq update",
        "apt-get -qqy upgrade",
        f"apt-get -qqy install --no-install-recommends {' '.join(packages)}",
        "apt-get clean",
        "rm -rf /var/lib/apt/lists/*",
    ]
    run("chroot", root, "sh", "-c", " && ".join(steps), env=environment(DEBIAN_FRONTEND="noninteractive", LC_ALL="C"))
    (root / "done").touch()


def _make_image(image: Path, root: Path, size: str) -> None:
    run("truncate", "-s", size, image)
    fixed = environment(SOURCE_DATE_EPOCH=IMAGE_TIME, E2FSPROGS_FAKE_TIME=IMAGE_TIME)
    run("mkfs.ext4", "-q", "-F", "-U", IMAGE_UUID, "-E", IMAGE_OPTIONS, "-d", root, image, env=fixed)


def _change_image(image: Path, root: Path) -> None:
    """Make the file system in `image` like `root`.

    Raises:
        BenchmarkError: it cannot be mounted, or not be changed.
    """
    mounted = image.with_name("mounted")
    mounted.mkdir()
    try:
        run("mount", "-o", "loop,noatime", image, mounted)
        try:
            run("rsync", "-aHAX", "--delete", "--exclude=/lost+found", f"{root}{os.sep}", f"{mounted}{os.sep}")
        finally:
            run("umount", mounted)
    finally:
        mounted.rmdir()
