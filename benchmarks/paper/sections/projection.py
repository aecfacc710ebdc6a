"""Whole syncs projected to two hosts with cores of their own: computed from measured phases, never measured."""

from __future__ import annotations

from benchmarks.measure import ratio
from benchmarks.paper.drawing import Stack, StackGroup, stacked
from benchmarks.paper.rows import Experiment
from benchmarks.paper.sections import published
from benchmarks.paper.sections.phases import STRUCTURES, Found, found_in, literal_seconds, matching_apart
from benchmarks.paper.sections.section import (
    Claim,
    Section,
    image,
    markdown_table,
    note,
    paragraph,
    seconds,
    span,
    times,
)

CORES = (2, 8, 16)
IMAGE = "projection.svg"
LEGEND = ("chunking", "matching", "reconstruction")

Phases = tuple[float, float, float]


def project(found: Found, structure: str, cores: int) -> Phases:
    """Seconds of the phases on two hosts of so many cores each.

    Chunking: the second stage, and the CPU time of the first divided by the threads; the slower side counts.
    Matching: as `matching_apart` says. Reconstruction: as it was measured.
    """
    values = found.values[structure]
    threads = 1 if structure == "dsync" else cores
    chunking = max(_chunking(values, side, threads) for side in ("sender", "receiver"))
    return chunking, matching_apart(found, structure, cores), values["reconstruction"]


def _chunking(values: dict[str, float], side: str, threads: int) -> float:
    serial = values[f"chunking.stage2@{side}"]
    return serial + max(0.0, values[f"chunking.cpu@{side}"] - serial) / threads


def section(results: dict[str, Experiment]) -> Section:
    experiment = results["phases"]
    found = found_in(experiment)
    groups, rows, claims = [], [], []
    for one in found:
        stacks = []
        for cores in CORES:
            phases = {structure: project(one, structure, cores) for structure in STRUCTURES}
            for structure, label in STRUCTURES.items():
                if structure != "dsync" or cores == CORES[0]:
                    text = f"{sum(phases[structure]):.2f} s, projected"
                    name = label if structure == "dsync" else f"{label}, {cores} cores"
                    stacks.append(Stack(name, phases[structure], text, True))
            whole = [sum(phases[structure]) for structure in STRUCTURES]
            factors = [times(ratio(base, whole[-1])) for base in whole[:-1]]
            rows.append([one.name, one.net, str(cores), *map(seconds, whole), *factors])
        groups.append(StackGroup(f"{one.name}, {one.net}", stacks))
    for net in dict.fromkeys(one.net for one in found):
        for base in ("dsync", "pdsync"):
            said = published.END_TO_END.get((net, base))
            gains = [
                ratio(sum(project(one, base, 8)), sum(project(one, "parasync", 8))) for one in found if one.net == net
            ]
            if said:
                what = f"Phases in sum, {net}, two hosts of 8 cores (*projected*): ParaSync against {base}"
                claims.append(Claim(what, said.factors(), span(gains), min(gains) >= said.low))
    head = ["set", "net", "cores a host", *(f"{label}, s" for label in STRUCTURES.values()), "against dsync"]
    text = "\n".join(
        [
            "## Projection to hosts of their own\n",
            paragraph(
                "**Projected, not measured**: the phases one after the other on two hosts with cores of",
                "their own. Chunking",
                "and the checksums of matching are divided by the cores (Amdahl's law, with the second stage",
                "as the serial",
                "part); what the sides waited for each other, and all of reconstruction, stay as measured here. That",
                "ParaSync's phases also overlap is not in it.",
            ),
            image(IMAGE, "projected seconds of all phases"),
            markdown_table([*head, "against pdsync"], rows),
            *_left(found),
        ]
    )
    title = "Projected, not measured: seconds of all phases on two hosts; shorter is better"
    return Section(text, {IMAGE: stacked(title, LEGEND, groups, note(experiment))}, claims)


def _left(found: list[Found]) -> list[str]:
    shares = [100 * ratio(literal_seconds(one), sum(project(one, "parasync", 8))) for one in found if one.net == "wan"]
    if not shares:
        return []
    return [
        paragraph(
            "**What is left** of ParaSync over the WAN with 8 cores is the transfer of literals: at the",
            "link's rate they",
            f"take {span(shares, '{:.0f} %')} of the projected time (the paper: {published.LITERALS_LEFT.shares()}).",
        )
    ]
