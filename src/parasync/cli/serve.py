"""`parasync serve`: let others push to and pull from named directories; or serve the one client that started it."""

from __future__ import annotations

import click

from parasync.cli.command import Command
from parasync.cli.lines import print_line
from parasync.cli.stdio import serve_stdio
from parasync.errors import InterruptedSyncError, UsageError

EPILOG = """\b
Examples:
  parasync serve --listen 127.0.0.1:8740 --module backup=/srv/backup
  parasync serve --listen [::1]:0 --module pub=/srv/pub:ro --module drop=/srv/drop

The first line printed is "listening on HOST:PORT". Ctrl-C or SIGTERM ends the server.
For HOST:PATH, `parasync sync` runs `parasync serve --stdio` on HOST by ssh, with the rights of the user there.
"""


@click.command(
    "serve",
    cls=Command,
    epilog=EPILOG,
    short_help="Serve named directories to other hosts.",
    context_settings={"max_content_width": 112},
)
@click.option("--listen", metavar="HOST:PORT", help="Address to listen on; port 0 picks a free one.")
@click.option(
    "--module",
    "modules",
    multiple=True,
    metavar="NAME=PATH[:ro]",
    help="A directory that clients may use as parasync://HOST:PORT/NAME; :ro forbids pushing. Repeatable.",
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Listen beyond loopback too. Nothing is encrypted or authenticated yet: whoever connects may read and write.",
)
@click.option(
    "--stdio",
    is_flag=True,
    help="Serve one client on standard input and output, with all that this user may do: for remote shells.",
)
def command(*, listen: str | None, modules: tuple[str, ...], insecure: bool, stdio: bool) -> int:
    """Serve directories under names, for parasync://HOST:PORT/NAME."""
    if stdio:
        if listen or modules or insecure:
            raise UsageError(
                "--stdio serves whoever started it, no network: leave out --listen, --module and --insecure"
            )
        return serve_stdio()
    if not listen:
        raise UsageError("no address to serve on: give --listen HOST:PORT, as in --listen 127.0.0.1:8740")
    return _serve(listen, modules, insecure)


def _serve(listen: str, modules: tuple[str, ...], insecure: bool) -> int:
    from parasync.server import Module, Server  # noqa: PLC0415

    server = Server(parse_address(listen), [Module.parse(one) for one in modules], insecure)
    try:
        print_line(f"listening on {format_address(*server.address[:2])}")
        server.run()
    except KeyboardInterrupt as interrupt:
        raise InterruptedSyncError(f"the server was stopped by {interrupt or 'an interrupt'}") from interrupt
    finally:
        server.stop()
    return 0


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) of "HOST:PORT" or "[HOST]:PORT".

    Raises:
        UsageError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"--listen {text}: write an IPv6 address in brackets, as in [::1]:8740")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"--listen {text}: give HOST:PORT with a port from 0 to 65535, as in 127.0.0.1:8740")
    return host, int(port)


def format_address(host: str, port: int) -> str:
    """The inverse of `parse_address`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
