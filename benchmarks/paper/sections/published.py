"""What the paper says (FAST '26, pages 477-492), as figures; sections are the paper's."""

from __future__ import annotations

from typing import NamedTuple


class Range(NamedTuple):
    """From the least to the most over the paper's datasets."""

    low: float
    high: float

    def shares(self) -> str:
        return f"{self.low:g} to {self.high:g} %"

    def factors(self) -> str:
        return f"{self.low:g} to {self.high:g}×"


CHUNKING_SHARE = Range(49.5, 75.1)
"""Of dsync's time, percent (2.2, figure 3)."""
IDEAL_MATCHING = {"wan": Range(0.9, 23.1), "lan": Range(3.7, 53.4)}
"""Of dsync's time with an ideal chunker, percent (2.2, figure 5)."""
IDEAL_RECONSTRUCTION = {"wan": Range(13.9, 44.7), "lan": Range(39.2, 73.5)}
IDEAL_LITERALS = {"wan": Range(49.2, 85.4)}

BELOW_10 = Range(80, 90)
"""Percent of the checksums with fewer than 10 chunks (3.2, figure 10)."""
ABOVE_100 = Range(3, 5)
ABOVE_1000 = Range(0.1, 0.5)

CHUNKING_8 = 7.6
"""Times dsync's throughput with 8 threads, ParaSync and pdsync (4.2, figure 17)."""
PDSYNC_CHUNKING_8 = 2.9
STAGE_1 = Range(-41.4, -9.8)
"""ParaSync against pdsync, percent (4.2, figure 16)."""
STAGE_2 = Range(-84.5, -62.8)

MATCHING = {"dsync": Range(-85.6, -72.5), "pdsync": Range(-60.3, -43.1)}
"""ParaSync against these, percent (4.3, figures 18 and 19)."""
RECONSTRUCTION = {
    ("wan", "dsync"): Range(-35.2, -8.5),
    ("lan", "dsync"): Range(-49.1, -15.2),
    ("wan", "pdsync"): Range(-21.5, -5.1),
    ("lan", "pdsync"): Range(-26.7, -10.3),
}
"""(4.4, figure 20)"""
TRAFFIC = 3.2
"""Percent that ParaSync sends more than dsync, at most (4.5, figure 21)."""
END_TO_END = {
    ("wan", "dsync"): Range(1.25, 2.4),
    ("lan", "dsync"): Range(2.3, 3.7),
    ("wan", "pdsync"): Range(1.14, 1.6),
    ("lan", "pdsync"): Range(1.5, 1.74),
}
"""How many times as fast (4.6, figure 22)."""
LITERALS_LEFT = Range(76.1, 96.7)
"""Percent of ParaSync's time with 8 threads that is the transfer of literals (4.6)."""

GOAL_DSYNC, GOAL_PDSYNC, GOAL_8_THREADS = 1.8, 1.5, 7.0
"""This project's own goals for Phase I: with two threads on two cores, and projected."""
