"""`python -m benchmarks`: the commands, each in a module of its own."""

from __future__ import annotations

import importlib

import click

MODULES = {
    "chunking": "benchmarks.chunking.command",
    "index": "benchmarks.index",
    "endtoend": "benchmarks.endtoend",
    "paper": "benchmarks.paper.command",
    "show": "benchmarks.show",
    "machine": "benchmarks.machine",
    "datasets": "benchmarks.lab.datasets",
    "lab": "benchmarks.lab.command",
}

EPILOG = """\b
Examples:
  python -m benchmarks chunking --data FILE --out chunking.json --plot chunking.svg
  python -m benchmarks datasets build DIR --size small
  sudo python -m benchmarks endtoend --data DIR/small --nets lan,wan -n 3 --out results.json

docs/benchmarks.md tells how every figure is made.
"""


class Commands(click.Group):
    """The commands, imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MODULES:
            return None
        command = importlib.import_module(MODULES[cmd_name]).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{MODULES[cmd_name]}.command is no command")
        return command


@click.group(
    "benchmarks",
    cls=Commands,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"max_content_width": 112},
)
@click.pass_context
def command(context: click.Context) -> None:
    """Measure ParaSync: each phase, and whole syncs beside other tools over a network of two hosts."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


if __name__ == "__main__":
    command(prog_name="python -m benchmarks")
