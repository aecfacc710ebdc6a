"""What the paper's experiments leave behind: rows of figures with the machine they were taken on, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.errors import BenchmarkError
from benchmarks.measure import median
from benchmarks.results import Machine, Record

FORMAT = 1
RESULTS = Path(__file__).resolve().parents[1] / "results" / "paper"
"""Where the results are that docs/evaluation.md is generated from."""


class Row(Record, kw_only=True, omit_defaults=True):
    """One run of `subject` on a dataset; `net` and `threads` where they matter. `values` by name, in SI units."""

    dataset: str
    subject: str
    net: str = ""
    threads: int = 0
    repetition: int = 0
    values: dict[str, float]
    error: str = ""


class Experiment(Record, kw_only=True, tag="paper"):
    """The rows of one experiment. `sizes` are those of the targets in bytes."""

    format: int = FORMAT
    name: str
    started: str
    machine: Machine
    sizes: dict[str, int]
    notes: list[str]
    rows: list[Row]


class Place(NamedTuple):
    """What rows belong together: all but the repetition."""

    dataset: str
    subject: str
    net: str
    threads: int


def place_of(row: Row) -> Place:
    return Place(row.dataset, row.subject, row.net, row.threads)


class Medians:
    """An experiment's rows with their repetitions summed up: the median of every value over the good runs."""

    def __init__(self, rows: Iterable[Row]) -> None:
        grouped: dict[Place, list[Row]] = {}
        for row in rows:
            if not row.error:
                grouped.setdefault(place_of(row), []).append(row)
        self._values = {
            place: {name: median([row.values[name] for row in found]) for name in found[0].values}
            for place, found in grouped.items()
        }

    def __iter__(self) -> Iterator[Place]:
        return iter(self._values)

    def get(self, dataset: str, subject: str, net: str = "", threads: int = 0) -> dict[str, float]:
        """The values, by name; empty if it was not measured."""
        return self._values.get(Place(dataset, subject, net, threads), {})

    def find(self, dataset: str, subject: str, net: str) -> dict[str, float]:
        """The same with whatever number of threads it was measured; empty if it was not."""
        return next((self._values[place] for place in self if place[:3] == (dataset, subject, net)), {})

    def datasets(self) -> list[str]:
        return list(dict.fromkeys(place.dataset for place in self))

    def nets(self) -> list[str]:
        return list(dict.fromkeys(place.net for place in self))

    def subjects(self) -> list[str]:
        return list(dict.fromkeys(place.subject for place in self))

    def threads(self) -> list[int]:
        return sorted({place.threads for place in self})


def path_of(directory: Path, name: str) -> Path:
    return directory / f"{name}.json"


def read(path: Path) -> Experiment:
    """
    Raises:
        BenchmarkError: the file cannot be read, or is no result of the paper's experiments.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Experiment)
    except OSError as error:
        raise BenchmarkError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise BenchmarkError(f"{path}: no result of the paper's experiments: {error}") from error
    if found.format != FORMAT:
        raise BenchmarkError(f"{path}: format {found.format}, this suite reads {FORMAT}")
    return found


def write(path: Path, experiment: Experiment) -> None:
    """One row per line, so that changes of few rows are seen as such."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(experiment, rows=[])), indent=1).decode()
    rows = ",\n".join(f"  {msgspec.json.encode(row).decode()}" for row in experiment.rows)
    path.write_text(head.replace('"rows": []', f'"rows": [\n{rows}\n ]') + "\n", encoding="utf-8")


def merged(old: Experiment, new: Experiment) -> Experiment:
    """`new`, with what only `old` has measured in front of it: a long experiment can be run in parts.

    Raises:
        BenchmarkError: they are of different machines.
    """
    if (old.machine.cpu, old.machine.cores) != (new.machine.cpu, new.machine.cores):
        raise BenchmarkError(f"{old.name}: was measured on another machine; give another --out")
    places = {place_of(row) for row in new.rows}
    kept = [row for row in old.rows if place_of(row) not in places]
    return msgspec.structs.replace(
        new,
        started=min(old.started, new.started),
        sizes=old.sizes | new.sizes,
        notes=list(dict.fromkeys([*old.notes, *new.notes])),
        rows=[*kept, *new.rows],
    )
