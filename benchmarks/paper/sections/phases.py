"""Phases II and III of the three structures (figures 18, 19 and 20), and how many cores they keep busy (table 1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.lab.shape import parse_shape
from benchmarks.measure import ratio
from benchmarks.paper.drawing import Stack, StackGroup, stacked
from benchmarks.paper.rows import Experiment, Medians
from benchmarks.paper.sections import published
from benchmarks.paper.sections.section import (
    Claim,
    Section,
    change,
    change_span,
    image,
    markdown_table,
    note,
    ordering,
    paragraph,
    seconds,
    span,
)

UNEVEN = 1.5
"""Busy cores, of two, below which a phase is called serialised."""
STRUCTURES = {"dsync": "dsync", "pdsync": "pdsync", "parasync": "ParaSync"}
MATCHING_IMAGE, RECONSTRUCTION_IMAGE = "matching.svg", "reconstruction.svg"
LEGEND = ("strong checksums (receiver)", "verification (sender)", "tables", "waiting for the other side")


class Found(NamedTuple):
    """What was measured on one dataset over one network, by structure."""

    name: str
    net: str
    threads: int
    values: dict[str, dict[str, float]]

    def against(self, base: str, phase: str) -> float:
        """ParaSync's seconds in proportion to those of `base`."""
        return ratio(self.values["parasync"][phase], self.values[base][phase])


def found_in(experiment: Experiment) -> list[Found]:
    medians = Medians(experiment.rows)
    threads = max(medians.threads())
    all_found = []
    for net in medians.nets():
        for name in medians.datasets():
            values = {one: medians.find(name, one, net) for one in STRUCTURES}
            if all(values.values()):
                all_found.append(Found(name, net, threads, values))
    return all_found


def seconds_in_order(found: Found, phase: str) -> list[float]:
    """Of ParaSync, pdsync and dsync."""
    return [found.values[one][phase] for one in ("parasync", "pdsync", "dsync")]


def _ordering(found: list[Found], phase: str) -> Claim:
    return ordering(phase.capitalize(), {f"{one.name} {one.net}": seconds_in_order(one, phase) for one in found})


# -- Phase II ---------------------------------------------------------------------------------------


def matching(results: dict[str, Experiment]) -> Section:
    experiment = results["phases"]
    found = found_in(experiment)
    claims = [_ordering(found, "matching")]
    for net in dict.fromkeys(one.net for one in found):
        for base, said in published.MATCHING.items():
            ratios = [one.against(base, "matching") for one in found if one.net == net]
            ok = max(ratios) <= 1 + said.high / 100
            claims.append(Claim(f"Matching, {net}: ParaSync against {base}", said.shares(), change_span(ratios), ok))
            apart = [
                ratio(matching_apart(one, "parasync", 8), matching_apart(one, base, 8))
                for one in found
                if one.net == net
            ]
            what = f"Matching, {net}, two hosts of 8 cores (*projected*): ParaSync against {base}"
            claims.append(Claim(what, said.shares(), change_span(apart), max(apart) <= 1 + said.high / 100))
    groups = [StackGroup(f"{one.name}, {one.net}", list(_matching_stacks(one))) for one in found]
    text = "\n".join(
        [
            "## Matching (Fig. 18, 19)\n",
            paragraph(
                "From when both sides have their chunks until the sender knows all confirmed matches. The",
                "receiver computes",
                "strong checksums (BLAKE3) of what has a weak checksum of the target's, the sender those of its own.",
            ),
            image(MATCHING_IMAGE, "seconds of Phase II by structure, with what the sides do in them"),
            _table(found, "matching"),
            *_why_matching(found, experiment.machine.cores),
        ]
    )
    title = "Phase II: seconds, and what they are spent on; shorter is better"
    return Section(text, {MATCHING_IMAGE: stacked(title, LEGEND, groups, note(experiment))}, claims)


def _matching_stacks(found: Found) -> Iterator[Stack]:
    """All-or-nothing: work of both sides adds up. Streaming: it overlaps, so that the rest may be nothing."""
    for structure, label in STRUCTURES.items():
        values = found.values[structure]
        whole = values["matching"]
        strong, verify = values["strong@receiver"], values["verify@sender"]
        tables = max(values["table@sender"], values["table@receiver"])
        if structure == "parasync":
            share = min(1.0, ratio(whole - tables, strong + verify))
            strong, verify = strong * share, verify * share
        rest = max(0.0, whole - strong - verify - tables)
        yield Stack(label, (strong, verify, tables, rest), f"{whole:.3f} s")


def _why_matching(found: list[Found], cores: int) -> list[str]:
    lan = [one for one in found if one.net == "lan"]
    parts = []
    if lan:
        busy = [_cpu(one, "parasync", "matching") / one.values["parasync"]["matching"] for one in lan]
        apart = [matching_apart(one, "parasync") / matching_apart(one, "pdsync") for one in lan]
        parts.append(
            paragraph(
                "**Over the LAN** the exchange itself takes next to nothing, and what counts is how many",
                "cores compute.",
                "dsync uses one at a time. pdsync's sides take turns, and in its turn each has all cores of",
                "*this one",
                "machine*; ParaSync's sides work at the same time and share them. So it cannot be much",
                "faster than pdsync",
                f"here: it keeps {span(busy, '{:.1f}')} of {cores} cores busy. On two hosts each side would",
                "have its own, and",
                f"ParaSync's phase would take as long as the slower side's work, {change_span(apart)} against pdsync",
                "(*computed*, from the sides' CPU seconds and the time in which they waited). Against dsync,",
                "two cores can",
                "save half at most; the paper's eight threads save more.",
            )
        )
    uneven = [one for one in found if _cpu(one, "pdsync", "matching") / one.values["pdsync"]["matching"] < UNEVEN]
    names = ", ".join(dict.fromkeys(one.name for one in uneven if one.net == "lan"))
    if names:
        parts.append(
            paragraph(
                f"**Skew** is what keeps pdsync from using all cores on {names}, where one checksum has most of the",
                "work: a checksum is one thread's there.",
            )
        )
    if any(one.net == "wan" for one in found):
        parts.append(
            paragraph(
                "**Over the WAN** dsync and pdsync wait until whole lists have crossed, which ParaSync sends",
                "and answers in",
                "batches while both sides compute.",
            )
        )
    return parts


def matching_apart(found: Found, structure: str, cores: int | None = None) -> float:
    """Seconds of Phase II on two hosts of so many cores each, computed (as many as threads ran, unless they are given).

    The CPU time of the sides is divided by the cores, and counts one after the other or, for ParaSync, at the same
    time. What remains of the measured time, in which they waited for each other, stays.
    """
    values = found.values[structure]
    sides = [values[f"matching.cpu@{side}"] for side in ("sender", "receiver")]
    ran = 1 if structure == "dsync" else found.threads
    waited = max(0.0, values["matching"] - sum(sides) / ran)
    work = max(sides) if structure == "parasync" else sum(sides)
    return waited + work / (1 if structure == "dsync" else cores or ran)


def _cpu(found: Found, structure: str, phase: str) -> float:
    return sum(found.values[structure][f"{phase}.cpu@{side}"] for side in ("sender", "receiver"))


# -- Phase III --------------------------------------------------------------------------------------


def reconstruction(results: dict[str, Experiment]) -> Section:
    experiment = results["phases"]
    found = found_in(experiment)
    claims = [_ordering(found, "reconstruction")]
    for net in dict.fromkeys(one.net for one in found):
        for base in ("dsync", "pdsync"):
            said = published.RECONSTRUCTION.get((net, base))
            if said is None:
                continue
            ratios = [one.against(base, "reconstruction") for one in found if one.net == net]
            what = f"Reconstruction, {net}: ParaSync against {base}"
            claims.append(Claim(what, said.shares(), change_span(ratios), max(ratios) <= 1 + said.high / 100))
    groups = [
        StackGroup(
            f"{one.name}, {one.net}: {one.values['dsync']['literal_bytes'] / 1e6:,.0f} MB of literals",
            [
                Stack(label, (one.values[name]["reconstruction"],), f"{one.values[name]['reconstruction']:.3f} s")
                for name, label in STRUCTURES.items()
            ],
        )
        for one in found
    ]
    text = "\n".join(
        [
            "## Reconstruction (Fig. 20)\n",
            paragraph(
                "From the confirmed matches to the complete new file: commands and literals cross the link,",
                "copies are made.",
                "Nothing is compressed, as in the paper.",
            ),
            image(RECONSTRUCTION_IMAGE, "seconds of Phase III by structure"),
            _table(found, "reconstruction"),
            *_why_reconstruction(found),
        ]
    )
    title = "Phase III: seconds; shorter is better"
    return Section(text, {RECONSTRUCTION_IMAGE: stacked(title, ("Phase III",), groups, note(experiment))}, claims)


def literal_seconds(found: Found) -> float:
    """What the literals take at the link's rate; 0 if it has none."""
    shape = parse_shape(found.net)
    return found.values["parasync"]["literal_bytes"] * 8 / shape.rate if shape else 0.0


def _why_reconstruction(found: list[Found]) -> list[str]:
    shares = [
        100 * literal_seconds(one) / one.values["parasync"]["reconstruction"] for one in found if one.net == "wan"
    ]
    work = [_cpu(one, "parasync", "reconstruction") for one in found if one.net == "lan"]
    parts = []
    if shares:
        parts.append(
            paragraph(
                f"**Over the WAN** the literals alone take {span(shares, '{:.0f} %')} of ParaSync's phase, at",
                "the link's rate.",
                "What a structure can save is the rest: the copies, which ParaSync makes while literals",
                "come. They take",
                "less here than in the paper, whose files lie on disks of 1 to 1.4 GB/s; these are in memory.",
            )
        )
    if work:
        parts.append(
            paragraph(
                f"**Over the LAN** the phase costs {span(work, '{:.2f} s')} of CPU time, nearly all of it for",
                "writing new",
                "pages, and both sides and the link's emulation share the cores. Two threads on each side",
                "overlap disk and",
                "network, but with all cores at work that gains little, and differences of a few percent are noise.",
            )
        )
    return parts


def _table(found: list[Found], phase: str) -> str:
    rows = [
        [
            one.name,
            one.net,
            *(seconds(one.values[name][phase]) for name in STRUCTURES),
            change(one.values["parasync"][phase], one.values["dsync"][phase]),
            change(one.values["parasync"][phase], one.values["pdsync"][phase]),
        ]
        for one in found
    ]
    head = ["set", "net", *(f"{label}, s" for label in STRUCTURES.values()), "against dsync", "against pdsync"]
    return markdown_table(head, rows)


# -- table 1 ----------------------------------------------------------------------------------------


def parallelism(results: dict[str, Experiment]) -> Section:
    """How many cores each phase keeps busy."""
    found = [one for one in found_in(results["phases"]) if one.net == "lan"] or found_in(results["phases"])
    rows = []
    for name, label in STRUCTURES.items():
        chunking = [one.values[name]["chunking.cpu@sender"] / one.values[name]["chunking@sender"] for one in found]
        others = [
            [_cpu(one, name, phase) / one.values[name][phase] for one in found]
            for phase in ("matching", "reconstruction")
        ]
        rows.append([label, *(span(values, "{:.2f}") for values in (chunking, *others)), WORDS[name]])
    cores = results["phases"].machine.cores
    text = "\n".join(
        [
            "## Parallelism (Table 1)\n",
            paragraph(
                "Cores that are busy during a phase, CPU seconds per second over the LAN: of one side in",
                "Phase I, of both",
                f"together in the others. The machine has {cores}, and the link's emulation takes a part of",
                "them in Phase III.",
            ),
            markdown_table(["", "chunking", "matching", "reconstruction", "what is parallel"], rows),
        ]
    )
    return Section(text, {}, [])


WORDS = {
    "dsync": "nothing but the two hosts",
    "pdsync": "candidates; matching by checksum, side after side; network and disk",
    "parasync": "candidates and checksums; matching by slices, both sides at once; network, copies and literals",
}
