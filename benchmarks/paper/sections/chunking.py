"""Phase I by threads and stage (figures 16 and 17), with projections."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.chunking.projection import serial_share
from benchmarks.measure import ratio
from benchmarks.paper.drawing import Stack, StackGroup, stacked
from benchmarks.paper.rows import Experiment, Medians
from benchmarks.paper.sections import published
from benchmarks.paper.sections.section import (
    Claim,
    Section,
    amdahl,
    change_span,
    image,
    markdown_table,
    note,
    paragraph,
    percent,
    span,
    threads_of,
    times,
)
from benchmarks.plot import OURS, PEER, PROJECTED, Bar, Group, Panel, chart

NAMES = {
    "dsync": "dsync",
    "pdsync": "pdsync",
    "pdsync, weak alone": "pdsync, weak alone",
    "parasync": "ParaSync",
    "overlapped": "the product in the paper's mode",
    "default": "this project's default",
}
INTRODUCTION = (
    "The targets, in memory, so that nothing but the structure counts. All but the default cut by the paper's rule,",
    "find the same chunks (which is checked), and compute the same two checksums of each: CRC32C, and the",
    "fingerprint,",
    "which verifies the result in all modes. *pdsync, weak alone* leaves out the fingerprint, as the paper's pdsync",
    "does, and so does less work than all others. *ParaSync* has equal segments, one per thread, and a barrier. The",
    "product has segments of 4 MiB, and merges each while later ones are scanned; its default has its own",
    "cut rule and",
    "the fingerprint only.",
)
STAGED = ("pdsync", "pdsync, weak alone", "parasync")
CORES = (8, 16)
TIMES_IMAGE, RATES_IMAGE = "chunking-stages.svg", "chunking-rates.svg"


class Measured:
    """Medians of the experiment, and what follows from them."""

    def __init__(self, experiment: Experiment) -> None:
        self.medians = Medians(experiment.rows)
        self.threads = max(self.medians.threads())
        self.datasets = self.medians.datasets()

    def get(self, dataset: str, subject: str, threads: int) -> dict[str, float]:
        return self.medians.get(dataset, subject, threads=1 if subject == "dsync" else threads)

    def faster(self, subject: str, base: str, threads: int) -> list[float]:
        """How many times as fast as `base`, for each dataset."""
        return [
            ratio(self.get(name, base, threads)["seconds"], self.get(name, subject, threads)["seconds"])
            for name in self.datasets
        ]

    def stage(self, number: int) -> list[float]:
        """ParaSync's seconds in proportion to pdsync's, with all threads."""
        stage = f"stage{number}"
        return [
            ratio(self.get(name, "parasync", self.threads)[stage], self.get(name, "pdsync", self.threads)[stage])
            for name in self.datasets
        ]

    def serial(self, subject: str) -> list[float]:
        """The second stage's share of one thread's time."""
        found = [self.get(name, subject, 1) for name in self.datasets]
        return [serial_share(values["stage1"], values["stage2"]) for values in found]

    def projected(self, dataset: str, subject: str, threads: int) -> float:
        """Seconds with so many threads, from the stages of one."""
        values = self.get(dataset, subject, 1)
        return amdahl(values["stage1"], values["stage2"], threads)

    def projected_gain(self, subject: str, threads: int) -> list[float]:
        """How many times as fast as dsync."""
        return [
            ratio(self.get(name, "dsync", 1)["seconds"], self.projected(name, subject, threads))
            for name in self.datasets
        ]


def section(results: dict[str, Experiment]) -> Section:
    experiment = results["chunking"]
    measured = Measured(experiment)
    threads = measured.threads
    images = {
        TIMES_IMAGE: _stages_image(measured, note(experiment)),
        RATES_IMAGE: _rates_image(measured, note(experiment)),
    }
    text = "\n".join(
        [
            "## Chunking (Fig. 16, 17)\n",
            paragraph(*INTRODUCTION),
            image(TIMES_IMAGE, "seconds of both stages by structure and number of threads"),
            image(RATES_IMAGE, "GB/s by structure and number of threads, and projected"),
            markdown_table(["set", *_head(threads)], _rows(measured)),
            _why(measured),
        ]
    )
    return Section(text, images, [*_goals(measured), *_papers(measured)])


def _head(threads: int) -> list[str]:
    return [f"{NAMES[one]}, {threads_of(1 if one == 'dsync' else threads)}" for one in NAMES]


def _rows(measured: Measured) -> list[list[str]]:
    rows = []
    for name in measured.datasets:
        cells = []
        for subject in NAMES:
            values = measured.get(name, subject, measured.threads)
            stages = f" ({values['stage1']:.3f} + {values['stage2']:.3f})" if "stage1" in values else ""
            cells.append(f"{values['seconds']:.3f} s{stages}")
        rows.append([name, *cells])
    return rows


def _goals(measured: Measured) -> list[Claim]:
    threads = measured.threads
    claims = []
    for subject in ("parasync", "overlapped", "default"):
        for base, goal in (("dsync", published.GOAL_DSYNC), ("pdsync", published.GOAL_PDSYNC)):
            gains = measured.faster(subject, base, threads)
            what = f"Chunking, {threads} threads: {NAMES[subject]} against {base}"
            claims.append(Claim(what, f"goal: {goal}× at least", span(gains), min(gains) >= goal))
    gains = measured.projected_gain("parasync", 8)
    what = "Chunking, ParaSync against dsync, 8 threads (*projected*)"
    said = f"{published.CHUNKING_8}×; goal: {published.GOAL_8_THREADS:g}× at least"
    return [*claims, Claim(what, said, span(gains), min(gains) >= published.GOAL_8_THREADS)]


def _papers(measured: Measured) -> list[Claim]:
    pdsync = measured.projected_gain("pdsync", 8)
    claims = [
        Claim(
            "Chunking, pdsync against dsync, 8 threads (*projected*)",
            f"{published.PDSYNC_CHUNKING_8}×, less than ParaSync",
            span(pdsync),
            min(pdsync) < min(measured.projected_gain("parasync", 8)),
        )
    ]
    for number, said in ((1, published.STAGE_1), (2, published.STAGE_2)):
        found = measured.stage(number)
        what = f"Chunking, stage {number}: ParaSync against pdsync, {measured.threads} threads"
        claims.append(Claim(what, said.shares(), change_span(found), max(found) <= 1 + said.high / 100))
    return claims


def _why(measured: Measured) -> str:
    threads = measured.threads
    weak = measured.faster("parasync", "pdsync, weak alone", threads)
    alone = [
        ratio(measured.get(name, "parasync", 1)["seconds"], measured.get(name, "parasync", threads)["seconds"])
        for name in measured.datasets
    ]
    shares = {one: span([100 * share for share in measured.serial(one)], "{:.2f} %") for one in ("parasync", "pdsync")}
    projected = {
        (one, cores): span(measured.projected_gain(one, cores)) for one in ("parasync", "pdsync") for cores in CORES
    }
    return "\n".join(
        [
            paragraph(
                f"**Serial.** ParaSync's second stage is {shares['parasync']} of one thread's time, pdsync's",
                f"{shares['pdsync']}, since it reads every byte again, in one thread. So Amdahl's law allows",
                "ParaSync",
                f"{projected['parasync', 8]} with 8 threads and {projected['parasync', 16]} with 16, pdsync",
                f"{projected['pdsync', 8]} and {projected['pdsync', 16]} (all *projected*, and before",
                "memory's bandwidth",
                "ends it).",
            ),
            paragraph(
                f"**Measured against that.** With {threads} threads ParaSync is {span(alone)} as fast as with one.",
                _loss(alone, threads),
            ),
            paragraph(
                "**Stage 1 does not get shorter here** as it does in the paper, for it has other work:",
                "ParaSync's includes",
                "both checksums of every byte, pdsync's none. The stage that it saves for that is the",
                "second. Against",
                f"pdsync without fingerprints ParaSync is {span(weak)} as fast, though it computes one.",
            ),
        ]
    )


def _loss(alone: Sequence[float], threads: int) -> str:
    if min(alone) >= 0.95 * threads:
        return "Next to nothing is lost."
    return (
        f"What is lost, {percent(1 - min(alone) / threads)} at most, is neither in the merge nor in locks, of "
        "which there "
        "are none: equal segments are not equal work, and whoever is done first waits at the barrier; and "
        "the threads "
        "share memory, and a virtual machine's cores may be no whole ones."
    )


def _stages_image(measured: Measured, foot: str) -> str:
    groups = []
    for name in measured.datasets:
        stacks = []
        for subject in ("dsync", *STAGED):
            for threads in (1,) if subject == "dsync" else sorted({1, measured.threads}):
                values = measured.get(name, subject, threads)
                label = f"{NAMES[subject]}, {threads_of(threads)}"
                stacks.append(Stack(label, (values["stage1"], values["stage2"]), f"{values['seconds']:.3f} s"))
        for subject in ("pdsync", "parasync"):
            values = measured.get(name, subject, 1)
            text = f"{measured.projected(name, subject, 8):.3f} s, projected"
            stacks.append(Stack(f"{NAMES[subject]}, 8 threads", (values["stage1"] / 8, values["stage2"]), text, True))
        groups.append(StackGroup(name, stacks))
    return stacked("Phase I: seconds by stage; shorter is better", ("stage 1", "stage 2"), groups, foot)


def _rates_image(measured: Measured, foot: str) -> str:
    groups = []
    for name in measured.datasets:
        size = measured.get(name, "dsync", 1)["bytes"]
        bars = []
        for subject, label in NAMES.items():
            rate = size / measured.get(name, subject, measured.threads)["seconds"] / 1e9
            bars.append(Bar(label, rate, f"{rate:.2f} GB/s", OURS if subject in ("overlapped", "default") else PEER))
        for cores in CORES:
            rate = size / measured.projected(name, "parasync", cores) / 1e9
            text = f"{rate:.1f} GB/s, {times(rate * 1e9 / size * measured.get(name, 'dsync', 1)['seconds'])} dsync"
            bars.append(Bar(f"ParaSync, {cores} threads, projected", rate, text, PROJECTED))
        groups.append(Group(f"{name}, {size / 1e6:,.0f} MB", bars))
    panel = Panel(f"{measured.threads} threads (dsync: 1); projections by Amdahl's law, not measured", groups)
    return chart("Phase I: GB/s; longer is better", [panel], foot)
