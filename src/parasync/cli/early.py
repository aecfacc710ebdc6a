"""Phase I and the connection are begun before the command line is understood.

Understanding it takes click and what a session takes, some 30 ms of imports on
one core. Nearly always the last two words are the source and the destination,
and say which file this side will chunk, and which server it will talk to. A
wrong guess costs some reading, or a connection on which nothing is said:
nothing is decided by it, and the sync, once it knows better, gives it up.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from parasync.errors import ParaSyncError, UsageError
from parasync.location import Location, parse
from parasync.session.ahead import BASIS, TARGET, Ahead, new_key
from parasync.transport.tcp import Connecting


class Begun(NamedTuple):
    """What is under way, as far as it was easily told."""

    ahead: Ahead | None = None
    connecting: Connecting | None = None


NOTHING = Begun()


def begin(words: Sequence[str]) -> Begun:
    """Begin what `parasync sync` with these arguments is about."""
    if len(words) < 2 or any(word.startswith("-") for word in words[-2:]) or {"--help", "--version"} & {*words}:
        return NOTHING
    if None in (sys.stdin, sys.stdout, sys.stderr):
        return NOTHING  # a file or socket would get the number of a stream that the caller closed
    try:
        source, destination = parse(os.fsencode(words[-2])), parse(os.fsencode(words[-1]))
    except UsageError:
        return NOTHING
    if source.host and destination.host:
        return NOTHING
    connecting = _begin_connection(source if source.host else destination)
    ahead = None
    with suppress(OSError, ValueError, RuntimeError):  # the last: no thread to be had; the sync will say so
        ahead = _begin_file(source, destination, fine=connecting is not None and connecting.distant)
    return Begun(ahead, connecting)


def _begin_connection(there: Location) -> Connecting | None:
    if not there.module:
        return None
    with suppress(ParaSyncError):  # the sync will say so
        return Connecting(there.host, there.port)
    return None


def _begin_file(source: Location, destination: Location, fine: bool) -> Ahead | None:
    if not source.host:
        return _begin_on(source.path, TARGET, fine)
    name = source.path.rpartition(b"/")[2]
    inside = os.path.isdir(destination.path)
    return _begin_on(os.path.join(destination.path, name) if inside else destination.path, BASIS, fine)


def _begin_on(path: bytes, name: str, fine: bool) -> Ahead | None:
    # Looked at first, since opening a device may do something to it.
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return None
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        ahead = Ahead(new_key())
        ahead.begin_on(fd, name, fine=fine)
        return ahead
    finally:
        os.close(fd)
