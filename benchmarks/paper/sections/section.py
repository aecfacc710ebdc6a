"""A part of the page: its text, its images, and what it claims."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from benchmarks.measure import ratio
from benchmarks.paper.rows import Experiment

IMAGE_LINK = "images/evaluation"
COLUMNS = 118


class Claim(NamedTuple):
    """What the paper or this project's goal says, what came out, and whether that is so."""

    what: str
    paper: str
    ours: str
    holds: bool


class Section(NamedTuple):
    """A part of the page, which begins with its heading."""

    text: str
    images: dict[str, str]
    claims: list[Claim]

    @property
    def link(self) -> str:
        """To its heading."""
        title = self.text.partition("\n")[0].lstrip("# ")
        anchor = re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        return f"[{title.partition(' (')[0]}](#{anchor})"


def paragraph(*sentences: str) -> str:
    """The sentences as one paragraph; an empty line follows."""
    text = " ".join(sentences)
    return textwrap.fill(text, COLUMNS, break_long_words=False, break_on_hyphens=False) + "\n"


def threads_of(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; an empty line follows."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def image(name: str, text: str) -> str:
    return f"![{text}]({IMAGE_LINK}/{name})\n"


def note(experiment: Experiment) -> str:
    """Where and when, for the foot of an image."""
    machine = experiment.machine
    return f"{machine.cpu}, {machine.cores} cores; ParaSync {machine.parasync}; {experiment.started[:10]}"


def change(value: float, base: float) -> str:
    """How much less or more than `base`, in percent, with its sign."""
    return f"{(ratio(value, base) - 1) * 100:+.1f} %"


def percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def times(value: float) -> str:
    """A factor."""
    return f"{value:.2f}×"


def span(values: Sequence[float], shown: str = "{:.2f}×") -> str:
    """The least and the largest."""
    low, high = (shown.format(one) for one in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def change_span(values: Sequence[float]) -> str:
    """The same of ratios, as changes in percent."""
    return span([(value - 1) * 100 for value in values], "{:+.1f} %")


def seconds(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def ordering(phase: str, cases: Mapping[str, Sequence[float]]) -> Claim:
    """Whether the seconds of ParaSync, pdsync and dsync ascend in each case, as in the paper; else by how much not."""
    wrong = []
    for name, found in cases.items():
        excess = max(ratio(one, other) - 1 for one, other in pairwise(found))
        if excess > 0:
            wrong.append(f"{name} ({excess * 100:+.1f} %)")
    ours = f"in {len(cases) - len(wrong)} of {len(cases)} cases" + (f"; not in {', '.join(wrong)}" if wrong else "")
    return Claim(f"{phase}: ParaSync < pdsync < dsync", "everywhere", ours, not wrong)


def amdahl(parallel: float, serial: float, threads: int) -> float:
    """Seconds with so many threads, if one thread takes `parallel` + `serial`: a projection."""
    return serial + parallel / threads
