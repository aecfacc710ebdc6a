"""What a link is like: rate, round-trip time, loss; and how that is written on the command line."""

from __future__ import annotations

import re
from typing import NamedTuple

from benchmarks.errors import BenchmarkError

_RATE = {"k": 10**3, "m": 10**6, "g": 10**9}
_TIME = {"us": 1.0, "ms": 1e3, "s": 1e6}
MAX_RTT_US = 10e6
_USE = "use lan, wan, raw, or RATE/RTT[/LOSS] as in 100mbit/20ms/0.1"


class Shape(NamedTuple):
    """A link: bits per second, round-trip time in microseconds, loss in percent each way."""

    rate: int
    rtt_us: float
    loss: float = 0.0


LAN = Shape(10 * 10**9, 400)
"""The paper's LAN (ParaSync 4.1)."""
WAN = Shape(500 * 10**6, 50_000)
"""The paper's WAN (ParaSync 4.1)."""


def parse_shape(text: str) -> Shape | None:
    """The shape that "lan", "wan" or "RATE/RTT[/LOSS]" names; None for "raw", which is not shaped at all.

    Raises:
        BenchmarkError: it is none of these.
    """
    named = {"lan": LAN, "wan": WAN, "raw": None}
    if text in named:
        return named[text]
    found = re.fullmatch(r"([\d.]+)([kmg])bit/([\d.]+)(us|ms|s)(?:/([\d.]+))?", text)
    if found is None:
        raise BenchmarkError(f"network {text!r}: {_USE}")
    rate, prefix, rtt, unit, loss = found.groups()
    try:
        shape = Shape(int(float(rate) * _RATE[prefix]), float(rtt) * _TIME[unit], float(loss or 0))
    except ValueError as error:
        raise BenchmarkError(f"network {text!r}: {_USE}") from error
    if shape.rate < 8000 or shape.rtt_us > MAX_RTT_US or shape.loss >= 100:
        raise BenchmarkError(f"network {text!r}: the least rate is 8kbit, the longest RTT 10s, the loss below 100")
    return shape


def describe(shape: Shape | None) -> str:
    """The same for people."""
    if shape is None:
        return "not shaped"
    return f"{shape.rate / 1e6:g} Mbit/s, RTT {shape.rtt_us / 1e3:g} ms, loss {shape.loss:g} %"
