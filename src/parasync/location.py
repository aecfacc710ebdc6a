"""Where a source or a destination is: a local path, or a path in a module of a server."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from parasync.errors import UsageError, display

DEFAULT_PORT = 8740
SCHEME = b"parasync://"

_REMOTE = re.compile(
    rb"(?P<host>\[[0-9A-Fa-f:.%a-z]+\]|[^/:\[\]@]+)(?::(?P<port>[0-9]+))?/(?P<module>[^/]+)(?P<path>/.*)?", re.DOTALL
)
_SSH = re.compile(rb"(?:[^/:@]+@)?[^/:]+:")


class Location(NamedTuple):
    """`host` is "" for a local path; else `path` is relative to `module`, with its trailing slash if it has one."""

    host: str
    port: int
    module: str
    path: bytes

    @property
    def server(self) -> tuple[str, int, str]:
        """What locations of one session have in common."""
        return self.host, self.port, self.module


def parse(argument: bytes) -> Location:
    """A location from a command line argument.

    Raises:
        UsageError: it is neither a path nor a well-formed URL, or asks for a transport that is not there.
    """
    if not argument:
        raise UsageError("an empty path: name a file, a directory or parasync://HOST[:PORT]/MODULE[/PATH]")
    if b"\0" in argument:
        raise UsageError(f"the path '{display(argument)}' contains a NUL byte")
    if argument.startswith(SCHEME):
        match = _REMOTE.fullmatch(argument[len(SCHEME) :])
        if match is None:
            raise UsageError(f"'{display(argument)}' is not of the form parasync://HOST[:PORT]/MODULE[/PATH]")
        port = int(match["port"] or DEFAULT_PORT)
        if not 0 < port < 65536:
            raise UsageError(f"port {port} in '{display(argument)}' is out of range: use 1 to 65535")
        path = (match["path"] or b"")[1:] if match["path"] != b"/" else b""
        host = os.fsdecode(match["host"]).strip("[]")
        return Location(host, port, os.fsdecode(match["module"]), path)
    if _SSH.match(argument) and not argument.startswith((b"/", b".")):
        raise UsageError(
            f"'{display(argument)}' names a host to reach by ssh, which is not supported yet: "
            "use parasync://HOST/MODULE/PATH, or ./NAME for a local file with a colon in its name"
        )
    return Location("", 0, "", argument)
