"""The one tree of errors: message, wire code, exit code, retryable.

Exit codes are rsync's, so that scripts written for it keep working. Every
message is one line that says what happened, to which path, and what to do.
"""

from __future__ import annotations

import errno
import os
from typing import ClassVar


class ParaSyncError(Exception):
    """Base of every error this project raises on purpose."""

    exit_code: ClassVar[int] = 12
    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False


class UsageError(ParaSyncError):
    """The command line, or a request made of a server, cannot be carried out as asked."""

    exit_code = 1
    code = "usage"


class VersionError(ParaSyncError):
    """The peer speaks another version of the protocol."""

    exit_code = 2
    code = "version"


class SelectionError(ParaSyncError):
    """A source or a destination cannot be selected (missing, of the wrong type)."""

    exit_code = 3
    code = "selection"


class StartError(ParaSyncError):
    """The server refused to start: unknown module, denied access, limits reached."""

    exit_code = 5
    code = "start"


class ConnectionLostError(ParaSyncError):
    """The transport failed: refused, reset, or closed before the session's end."""

    exit_code = 10
    code = "connection"
    retryable = True


class FileError(ParaSyncError):
    """File input or output failed for the session as a whole (no space, read-only)."""

    exit_code = 11
    code = "file"


class ProtocolError(ParaSyncError):
    """The peer sent something that the protocol does not allow."""

    exit_code = 12
    code = "protocol"


class InterruptedSyncError(ParaSyncError):
    """The user, or a signal, ended the run."""

    exit_code = 20
    code = "interrupted"


class PartialTransferError(ParaSyncError):
    """Some files were not transferred; the others were."""

    exit_code = 23
    code = "partial"


class VanishedError(ParaSyncError):
    """Some source files vanished before they could be transferred."""

    exit_code = 24
    code = "vanished"


class DeadlineError(ParaSyncError):
    """The peer did not answer within the deadline."""

    exit_code = 30
    code = "deadline"
    retryable = True


class ConnectDeadlineError(DeadlineError):
    """No connection could be made within the deadline."""

    exit_code = 35
    code = "connect-deadline"


def _tree(root: type[ParaSyncError]) -> dict[str, type[ParaSyncError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: dict[str, type[ParaSyncError]] = _tree(ParaSyncError)
"""Wire code -> class; an unknown code from a newer peer becomes `ParaSyncError`."""


def from_wire(code: str, text: str) -> ParaSyncError:
    """The error a peer reported, as an exception of this side."""
    return BY_CODE.get(code, ParaSyncError)(text)


_ADVICE = {
    errno.ENOSPC: "free some space there and run again",
    errno.EDQUOT: "raise the quota or free some space there and run again",
    errno.EACCES: "check its permissions or run as a user who may access it",
    errno.EPERM: "check its permissions or run as a user who may change it",
    errno.EROFS: "the file system is read-only: remount it or choose another destination",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a component of the path is not a directory: move it away or choose another path",
    errno.EISDIR: "it is a directory: move it away or choose another path",
    errno.ENOTEMPTY: "a directory with content is in the way: move it away first",
    errno.ELOOP: "a symbolic link stands in the path, and links are not followed here",
    errno.ENAMETOOLONG: "shorten the name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: "the device reported an error: check it",
}


def display(path: bytes | str) -> str:
    """A path for people: undecodable and control characters escaped, never raw on a terminal."""
    text = os.fsdecode(path)
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def describe_os_error(action: str, path: bytes | str, error: OSError) -> str:
    """One line: what failed, on which path, why, and what to do."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    advice = _ADVICE.get(error.errno or 0)
    line = f"cannot {action} '{display(path)}': {reason}" if path else f"cannot {action}: {reason}"
    return f"{line} ({advice})" if advice else line


def interrupt_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The interrupt that `error` is or came from.

    One that strikes in the middle of Python's own locking leaves it with locks that are not as expected: what is
    raised then is a RuntimeError ("release unlocked lock"), on the way out.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__context__
    return cause
