"""Commands whose help is output like any other: one line and the right exit code when it cannot be printed."""

from __future__ import annotations

import click

from parasync.cli.lines import OutputError


class Command(click.Command):
    """A command; parsing its options may print its help or the version.

    Raises:
        OutputError: from parsing, when nobody takes what is printed.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except OSError as error:
            raise OutputError.of(error) from error


class Group(Command, click.Group):
    """A command that has others."""
