"""Phase I is begun before the command line is understood.

Understanding it takes click and what a session takes, some 70 ms of imports on
one core. Nearly always the last two words are the source and the destination,
and say which file this side will chunk. A wrong guess costs some reading:
nothing is decided by it, and the sync, once it knows better, gives it up.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress

from parasync.errors import UsageError
from parasync.location import parse
from parasync.session.ahead import BASIS, TARGET, Ahead, new_key


def begin(words: Sequence[str]) -> Ahead | None:
    """Begin on the file that `parasync sync` with these arguments is about, if that is easily told."""
    if len(words) < 2 or any(word.startswith("-") for word in words[-2:]):
        return None
    if None in (sys.stdin, sys.stdout, sys.stderr):
        return None  # it would get the number of a stream that the caller closed
    with suppress(UsageError, OSError, RuntimeError):  # the last: no thread to be had; the sync will say so
        source, destination = parse(os.fsencode(words[-2])), parse(os.fsencode(words[-1]))
        if not source.host:
            return _begin_on(source.path, TARGET)
        if not destination.host:
            name = source.path.rpartition(b"/")[2]
            inside = os.path.isdir(destination.path)
            return _begin_on(os.path.join(destination.path, name) if inside else destination.path, BASIS)
    return None


def _begin_on(path: bytes, name: str) -> Ahead | None:
    # Looked at first, since opening a device may do something to it.
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return None
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        ahead = Ahead(new_key())
        ahead.begin_on(fd, name)
        return ahead
    finally:
        os.close(fd)
