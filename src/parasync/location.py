"""Where a source or a destination is: a local path, a path on a host reached by ssh, or a path in a server's module."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from parasync.errors import UsageError, display

DEFAULT_PORT = 8740
SCHEME = b"parasync://"

_HOST = rb"(?P<host>\[[0-9A-Fa-f:.%a-z]+\]|[^/:\[\]@]+)"
_SERVER = re.compile(_HOST + rb"(?::(?P<port>[0-9]+))?/(?P<module>[^/]+)(?P<path>/.*)?", re.DOTALL)
_SSH = re.compile(rb"(?P<user>[^/:]+@)?" + _HOST + rb":(?P<path>.*)", re.DOTALL)
_LOOKS_LIKE_URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://")


class Location(NamedTuple):
    """`host` is "" for a local path.

    With a `module`, `path` is relative to it, with its trailing slash if it has one. Without one the host is
    reached by ssh: `host` has the user in front if there is one, and `path` is relative to that user's home.
    """

    host: str
    port: int
    module: str
    path: bytes

    @property
    def server(self) -> tuple[str, int, str]:
        """What locations of one session have in common."""
        return self.host, self.port, self.module

    @property
    def is_ssh(self) -> bool:
        return bool(self.host) and not self.module


def parse(argument: bytes) -> Location:
    """A location from a command line argument.

    Raises:
        UsageError: it is neither a path nor well-formed as one of the others.
    """
    if not argument:
        raise UsageError("an empty path: name a file, a directory, HOST:PATH or parasync://HOST[:PORT]/MODULE[/PATH]")
    if b"\0" in argument:
        raise UsageError(f"the path '{display(argument)}' contains a NUL byte")
    if argument.startswith(SCHEME):
        return _parse_server(argument)
    if _LOOKS_LIKE_URL.match(argument):
        raise UsageError(
            f"'{display(argument)}' is of no known scheme: use parasync://HOST[:PORT]/MODULE[/PATH], or "
            "[USER@]HOST:PATH to go by ssh"
        )
    if argument.startswith((b"/", b".")) or b":" not in argument.partition(b"/")[0]:
        return Location("", 0, "", argument)
    return _parse_ssh(argument)


def _parse_server(argument: bytes) -> Location:
    match = _SERVER.fullmatch(argument[len(SCHEME) :])
    if match is None:
        raise UsageError(f"'{display(argument)}' is not of the form parasync://HOST[:PORT]/MODULE[/PATH]")
    port = int(match["port"] or DEFAULT_PORT)
    if not 0 < port < 65536:
        raise UsageError(f"port {port} in '{display(argument)}' is out of range: use 1 to 65535")
    path = (match["path"] or b"")[1:] if match["path"] != b"/" else b""
    host = os.fsdecode(match["host"]).strip("[]")
    return Location(host, port, os.fsdecode(match["module"]), path)


def _parse_ssh(argument: bytes) -> Location:
    match = _SSH.fullmatch(argument)
    # A login with a dash in front would be an option of ssh, and its options can run commands.
    if match is None or argument.startswith(b"-"):
        raise UsageError(
            f"'{display(argument)}' is not of the form [USER@]HOST:PATH: correct it, or write ./NAME for a local file "
            "with a colon in its name"
        )
    path = match["path"]
    if path.startswith(b":"):
        raise UsageError(
            f"'{display(argument)}' names an rsync server, which ParaSync does not speak to: use "
            "parasync://HOST[:PORT]/MODULE[/PATH], or HOST:PATH to go by ssh"
        )
    if path.startswith(b"~"):
        raise UsageError(
            f"'{display(argument)}': ~ is not expanded on the other side; paths are relative to the home directory "
            "there, so leave ~/ out, or write ./~ for a name that begins so"
        )
    login = (match["user"] or b"") + match["host"].strip(b"[]")
    return Location(os.fsdecode(login), 0, "", path or b".")
