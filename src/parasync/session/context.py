"""What every part of one session is given."""

from __future__ import annotations

from typing import NamedTuple

from parasync.model import Monitor
from parasync.options import Options
from parasync.tracing import OFF, Tracer
from parasync.tree.destination import Destination


class Terms(NamedTuple):
    """What the two sides agreed on, as far as the sender needs it."""

    key: bytes
    zstd: bool
    files_in_flight: int


class Goal(NamedTuple):
    """What the receiver learns from the greeting: where entries go, and whether the sender answers PATCH."""

    destination: Destination
    patches: bool
    unasked: int
    """Average size of the chunks that the sender sends unasked; 0: it sends none."""
    same_key: bool
    """They are by this session's key."""


class Context(NamedTuple):
    """How to do it, whom to tell, and where to note when."""

    options: Options
    monitor: Monitor
    tracer: Tracer = OFF
    tells_spans: bool = False
    """The peer asked for this side's spans, at the session's end."""
