"""When one connection is not enough: a link that loses packets.

TCP takes a lost packet for a sign that the link is full, and slows down. One in
a thousand over 100 ms leaves a connection about a megabyte a second, of whatever
there is, if it comes early. Several connections share the losses.
"""

from __future__ import annotations

from parasync.config import LONG_ROUND_TRIP, LOSSY_POLLS, LOSSY_RATE


class LossWatch:
    """Looks at a connection now and then, and tells a lossy link from one that was filled too fast once.

    A connection that begins overruns the narrowest queue, loses packets for a
    round trip or two, and has then found its rate. On a lossy link it goes on
    losing them, or is so slow that losses have become rare.
    """

    def __init__(self) -> None:
        self._losses = 0
        self._passed = 0
        self._at = 0.0
        self._signs = 0

    def lossy(self, now: float, round_trip: float, losses: int, passed: int) -> bool:
        """Whether more connections would help, after `losses` packets and `passed` bytes in all; times in seconds."""
        moved = passed - self._passed
        crawls = losses > 0 and 0 < moved < LOSSY_RATE * (now - self._at)
        self._signs += losses > self._losses or crawls
        self._losses, self._passed, self._at = losses, passed, now
        return self._signs >= LOSSY_POLLS and round_trip >= LONG_ROUND_TRIP
