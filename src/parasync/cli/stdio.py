"""`parasync serve --stdio`, which a remote shell starts, with no option that would take understanding.

Whoever waits at the other end of the shell waits for this process to start, and
a third of that was click.
"""

from __future__ import annotations

import os

from parasync.cli.process import run_command
from parasync.errors import ConnectionLostError, DeadlineError, ParaSyncError, UsageError


def main() -> int:
    """The program run for a remote shell; returns its exit code."""
    return run_command(serve_stdio)


def serve_stdio() -> int:
    """Serve one client on standard input and output; the exit code.

    Raises:
        ParaSyncError: what the client cannot know.
    """
    from parasync import server  # noqa: PLC0415 - the streams and signals are taken care of first

    if os.isatty(0):
        raise UsageError("--stdio speaks to a program, not to people: 'parasync sync SRC HOST:DST' runs it on HOST")
    try:
        server.serve_stdio()
    except (ConnectionLostError, DeadlineError):
        raise
    except ParaSyncError as error:
        return error.exit_code  # the client knows and says it; a second voice on its terminal would not help
    return 0
