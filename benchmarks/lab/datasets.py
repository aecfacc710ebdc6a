"""`python -m benchmarks datasets`: pairs of an old and a new version, the same wherever they are built."""

from __future__ import annotations

import time
from pathlib import Path

import click

from benchmarks.errors import BenchmarkError
from benchmarks.lab import made, real
from benchmarks.lab.builder import SIZES, Builder, Maker
from benchmarks.lab.manifest import Dataset, describe, load, save

SETS: dict[str, Maker] = {
    "source": real.source,
    "packages": real.packages,
    "text": made.text,
    "db": made.database,
    "dbdump": made.database_dump,
    "edge": made.edges,
    "tree": real.tree,
    "vm": real.disk_image,
}
"""In this order: dbdump is made of db. One set may be several datasets."""

EPILOG = """\b
Examples:
  python -m benchmarks datasets build DIR --size small --only text,db,edge
  python -m benchmarks datasets list DIR/small

Real data is fetched by `pip download`, `apt-get download` and debootstrap, and kept in DIR/cache.
"""


@click.group("datasets", epilog=EPILOG, short_help="Build the pairs of versions that are synchronised.")
def command() -> None:
    """Build and list datasets: an old and a new version of real and made files, and of a tree."""


@command.command("build")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--size", type=click.Choice(SIZES), default="small", show_default=True, help="About 40 or 400 MB each.")
@click.option("--only", help=f"Some of {', '.join(SETS)}, separated by commas.  [default: all]")
@click.option("--force", is_flag=True, help="Build again what is there.")
def build(directory: Path, size: str, only: str | None, force: bool) -> None:
    """Build DIRECTORY/SIZE/NAME/{old,new} and DIRECTORY/SIZE/manifest.json."""
    build_missing(directory, size, *parse_sets(only), force=force)


def build_missing(directory: Path, size: str, *names: str, force: bool = False) -> None:
    """Build what is not there yet of these sets.

    Raises:
        BenchmarkError: one cannot be built.
    """
    parse_sets(",".join(names))
    builder = Builder(directory, size)
    for name in names:
        manifest = load(builder.out)
        if not force and any(known == name or known.startswith(f"{name}-") for known in manifest):
            click.echo(f"{name}: is there")
            continue
        start = time.monotonic()
        for dataset, how in SETS[name](builder).items():
            old, new = (describe(builder.out / dataset / version) for version in ("old", "new"))
            manifest[dataset] = Dataset(how=how, old=old, new=new)
        save(builder.out, manifest)
        click.echo(f"{name}: {time.monotonic() - start:.1f} s")


def parse_sets(only: str | None) -> list[str]:
    """
    Raises:
        BenchmarkError: one of the names is no set.
    """
    names = only.split(",") if only else list(SETS)
    wrong = sorted(set(names) - set(SETS))
    if wrong:
        raise BenchmarkError(f"set {', '.join(wrong)}: use some of {', '.join(SETS)}")
    return names


@command.command("list")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
def show(directory: Path) -> None:
    """List the datasets in DIRECTORY, which is one of the sizes of what was built."""
    manifest = load(directory)
    if not manifest:
        raise BenchmarkError(f"{directory} has no datasets: build them, or name DIR/small or DIR/medium")
    for name, one in manifest.items():
        click.echo(f"{name:18} old {one.old.size / 1e6:8.1f} MB  new {one.new.size / 1e6:8.1f} MB  {one.how}")
