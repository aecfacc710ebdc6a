"""Where datasets are built, and the downloads that they are made of."""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.lab.system import run

MIB = 1 << 20
SIZES = ("small", "medium")
WHEELS = {
    "medium": (
        (
            "pyarrow==14.0.1",
            "scipy==1.11.3",
            "opencv-python-headless==4.9.0.80",
            "llvmlite==0.42.0",
            "numpy==1.26.3",
        ),
        (
            "pyarrow==14.0.2",
            "scipy==1.11.4",
            "opencv-python-headless==4.10.0.84",
            "llvmlite==0.43.0",
            "numpy==1.26.4",
        ),
    ),
    "small": (("numpy==1.26.3",), ("numpy==1.26.4",)),
}
"""Binary releases, old and new."""
PYTHON_TREES = {"medium": ("ansible==9.1.0", "ansible==9.4.0"), "small": ("Django==5.0.1", "Django==5.0.6")}
"""Source releases with many files."""
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "any")


class Builder:
    """Builds below `directory`/`size`, with downloads in `directory`/cache."""

    def __init__(self, directory: Path, size: str) -> None:
        self.size = size
        self.medium = size == "medium"
        self.out = directory.absolute() / size
        self.cache = directory.absolute() / "cache"
        for one in (self.out, self.cache):
            one.mkdir(parents=True, exist_ok=True)

    def fresh(self, name: str) -> Path:
        """An empty directory for the dataset `name`."""
        path = self.out / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def wheel(self, requirement: str) -> Path:
        """A wheel of PyPI, always that for x86-64 and Python 3.11; downloaded unless it is there.

        Raises:
            BenchmarkError: it cannot be had.
        """
        directory = self.cache / "wheels"
        directory.mkdir(exist_ok=True)
        if not (found := _wheels(directory, requirement)):
            platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
            options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", "3.11", *platforms]
            run(sys.executable, "-m", "pip", "download", *options, "-d", directory, requirement)
            found = _wheels(directory, requirement)
        if not found:
            raise BenchmarkError(f"pip downloaded no wheel for {requirement} to {directory}")
        return found[0]

    def concatenate(self, requirements: Sequence[str], out: Path) -> None:
        """The contents of all files of these wheels, in the order of their names, without any metadata."""
        with out.open("wb") as target:
            for requirement in requirements:
                with zipfile.ZipFile(self.wheel(requirement)) as wheel:
                    for name in sorted(wheel.namelist()):
                        if not name.endswith("/"):
                            with wheel.open(name) as member:
                                shutil.copyfileobj(member, target, MIB)


Maker = Callable[[Builder], dict[str, str]]
"""Makes one or several datasets; returns how each was made, by name."""


def _wheels(directory: Path, requirement: str) -> list[Path]:
    name, version = requirement.split("==")
    start = f"{name.replace('-', '_')}-{version}-".lower()
    return [path for path in directory.iterdir() if path.name.lower().startswith(start)]
