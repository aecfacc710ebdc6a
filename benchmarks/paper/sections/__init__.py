"""The parts of docs/evaluation.md, in their order."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.paper.rows import Experiment
from benchmarks.paper.sections import ablation, breakdown, chunking, phases, projection, skewness, wholes
from benchmarks.paper.sections.section import Section

SECTIONS: list[tuple[str, Callable[[dict[str, Experiment]], Section]]] = [
    ("phases", breakdown.section),
    ("chunking", chunking.section),
    ("skew", skewness.section),
    ("phases", phases.matching),
    ("phases", phases.reconstruction),
    ("endtoend", wholes.traffic),
    ("endtoend", wholes.times),
    ("endtoend", wholes.resources),
    ("phases", phases.parallelism),
    ("phases", projection.section),
    ("ablation", ablation.section),
]
"""Each with the experiment that it needs."""


def all_sections(results: dict[str, Experiment]) -> list[Section]:
    """What can be told of these results; what was not measured is left out."""
    return [make(results) for needed, make in SECTIONS if needed in results]
