"""`python -m benchmarks.paper`."""

from benchmarks.paper.command import command

command(prog_name="python -m benchmarks.paper")
