"""`python -m benchmarks lab`: the network by hand."""

from __future__ import annotations

import os

import click

from benchmarks.lab import network
from benchmarks.lab.shape import LAN, WAN, Shape, describe, parse_shape
from benchmarks.lab.system import environment

EPILOG = """\b
Examples, as root:
  python -m benchmarks lab up
  python -m benchmarks lab shape 100mbit/20ms/0.1
  python -m benchmarks lab check
  python -m benchmarks lab exec receiver iperf3 -s
"""


@click.group("lab", epilog=EPILOG, short_help="The network of two hosts, by hand; needs root.")
def command() -> None:
    """Make, shape, check and remove the network of two hosts, `sender` and `receiver`. Needs root."""


@command.command("up")
@click.option("--congestion", default="cubic", show_default=True, help="TCP's congestion control: cubic, bbr, reno.")
def up(congestion: str) -> None:
    """Make both hosts; the link is not shaped."""
    network.up(congestion)


@command.command("down")
def down() -> None:
    """Remove both hosts and all that belongs to them."""
    network.down()


def _shape(wanted: Shape | None) -> None:
    kind = network.shape(wanted)
    click.echo(f"{describe(wanted)}; delay by {kind}")


@command.command("lan")
def lan() -> None:
    """10 Gbit/s, 0.4 ms: the paper's LAN."""
    _shape(LAN)


@command.command("wan")
def wan() -> None:
    """500 Mbit/s, 50 ms: the paper's WAN."""
    _shape(WAN)


@command.command("raw")
def raw() -> None:
    """No limits."""
    _shape(None)


@command.command("shape")
@click.argument("shape", metavar="RATE/RTT[/LOSS]")
def shape(shape: str) -> None:
    """Any other link, as 100mbit/20ms/0.1; LOSS in percent each way."""
    _shape(parse_shape(shape))


@command.command("check")
@click.option("--seconds", default=3, show_default=True, help="Of iperf3, each way.")
def check(seconds: int) -> None:
    """Tell what the link really does: ping, and one TCP stream both ways."""
    for line in network.check(seconds):
        click.echo(line)


@command.command("bytes")
def counters() -> None:
    """Tell the bytes on the wire so far."""
    now = network.counters()
    click.echo(f"to the receiver {now.to_receiver:,}, to the sender {now.to_sender:,}, packets dropped {now.dropped:,}")


@command.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("role", type=click.Choice([role.value for role in network.Role]))
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(role: str, argv: tuple[str, ...]) -> None:
    """Run a command on one of the hosts."""
    network.require_up()
    words = network.Role(role).command(*argv)
    os.execvpe(words[0], words, environment())
