"""Phase I and the connection are begun before the command line is understood.

Understanding it takes click and what a session takes, some 30 ms of imports on
one core. Nearly always the last two words are the source and the destination,
and say which file this side will chunk, and which server it will talk to. A
wrong guess costs some reading, or a connection on which nothing is said:
nothing is decided by it, and the sync, once it knows better, gives it up. A
remote shell, which is a program, is started only where nothing is guessed.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from parasync.cli.words import understand
from parasync.config import MAGIC
from parasync.errors import ParaSyncError, UsageError
from parasync.location import Location, parse
from parasync.session.ahead import BASIS, TARGET, Ahead, new_key
from parasync.transport.tcp import Connecting

if TYPE_CHECKING:
    from parasync.transport.dialling import UnderWay
    from parasync.transport.ssh import SshStream


class Begun(NamedTuple):
    """What is under way, as far as it was easily told."""

    ahead: Ahead | None = None
    connecting: UnderWay | None = None

    def close(self) -> None:
        """Give up a connection that nobody took. Idempotent."""
        if self.connecting is not None:
            self.connecting.close()


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
    there = source if source.host else destination
    connecting = shell = None
    # What fails here will fail again, and be told then. The last: no thread is to be had.
    with suppress(ParaSyncError, OSError, RuntimeError):
        if there.module:
            connecting = Connecting(there.host, there.port)
        elif there.is_ssh:
            shell = _begin_shell(words)
    ahead = None
    with suppress(OSError, ValueError, RuntimeError):
        ahead = _begin_file(source, destination, fine=connecting is not None and connecting.distant)
    return Begun(ahead, connecting or shell)


def _begin_shell(words: Sequence[str]) -> SshStream | None:
    plain = understand(words)
    if plain is None or len(plain.locations) < 2:
        return None
    source, destination = (parse(os.fsencode(word)) for word in (plain.locations[0], plain.locations[-1]))
    there = source if source.host else destination
    if not there.is_ssh or (source.host and destination.host):
        return None
    from parasync.transport.ssh import Shell, SshStream  # noqa: PLC0415 - other syncs start no process

    return SshStream(Shell.parse(there.host, plain.rsh, plain.remote_path), MAGIC)


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
