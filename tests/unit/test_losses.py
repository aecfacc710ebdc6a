"""What makes a link a lossy one."""

from __future__ import annotations

import pytest

from parasync.config import LOSSY_POLLS
from parasync.session.losses import LossWatch

FAR = 0.1
NEAR = 0.001
FAST = 10_000_000
SLOW = 500_000
"""Bytes that pass between two polls, a quarter of a second apart."""


def polls_until_lossy(losses: list[int], passed: int, round_trip: float) -> int | None:
    """The number of the poll that finds the link lossy; `losses` are the new ones of each poll."""
    watch = LossWatch()
    for number in range(len(losses)):
        if watch.lossy(0.25 * number, round_trip, sum(losses[: number + 1]), passed * number):
            return number
    return None


@pytest.mark.parametrize(
    ("losses", "passed", "round_trip", "expected"),
    [
        ([0] * 50, FAST, FAR, None),
        ([0] * 50, SLOW, FAR, None),  # slow, but nothing is lost: more connections would share the same link
        ([0, 300, 20, *[0] * 50], FAST, FAR, None),  # the beginning overran a queue
        ([0, 3, 1, 2, 1], FAST, FAR, 1 + LOSSY_POLLS - 1),
        ([0, 3, 0, 0, 2, 0, 0, 1, 0], FAST, FAR, 7),
        ([0, 1, 0, 0, 0], SLOW, FAR, 1 + LOSSY_POLLS - 1),  # crawls since one loss
        ([0, 1, *[0] * 50], 0, FAR, None),  # nobody has anything to send
        ([0, *[5] * 50], SLOW, NEAR, None),
    ],
)
def test_signs_of_loss(losses: list[int], passed: int, round_trip: float, expected: int | None) -> None:
    assert polls_until_lossy(losses, passed, round_trip) == expected
