"""What is asked for: datasets, networks, repetitions; handed to every experiment."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click

from benchmarks.lab.manifest import Manifest


class Plan(NamedTuple):
    """`data` is DIR/SIZE of what `datasets build DIR` made. `threads` is what every parallel tool gets per side.

    `named` tells whether the sets were asked for by name, rather than being those that are the default.
    """

    data: Path
    manifest: Manifest
    sets: list[str]
    named: bool
    nets: list[str]
    rounds: int
    threads: int
    store: Path
    timeout: float
    lock: Path

    def sizes(self) -> dict[str, int]:
        return {name: self.manifest[name].new.size for name in self.sets}

    def target(self, name: str) -> Path:
        return self.data / name / "new"

    def basis(self, name: str) -> Path:
        return self.data / name / "old"


def say(line: str) -> None:
    """Progress, apart from the results."""
    click.echo(line, err=True)
