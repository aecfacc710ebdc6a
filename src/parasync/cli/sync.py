"""`parasync sync`: make the destination like the source."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from parasync import __version__
from parasync.cli.command import Command
from parasync.cli.output import JsonOutput, Output, TextOutput, print_summary_event
from parasync.cli.words import RSH_VARIABLE
from parasync.config import (
    CHUNKING_DEFAULT,
    CHUNKINGS,
    COMPRESS_AUTOMATICALLY,
    COMPRESS_NOTHING,
    MATCHING_FINGERPRINT,
    MATCHINGS,
    MAX_COMPRESS_LEVEL,
    REMOTE_COMMAND,
    REMOTE_SHELL,
    STALL_SECONDS,
    STREAMS_AS_NEEDED,
)
from parasync.errors import (
    BY_CODE,
    FileError,
    InterruptedSyncError,
    ParaSyncError,
    UsageError,
    describe_os_error,
    interrupt_behind,
)
from parasync.model import Event, Monitor, Report
from parasync.options import Options

if TYPE_CHECKING:
    from parasync.cli.early import Begun

EPILOG = """\b
Examples:
  parasync sync photos/ me@host:backup/photos              push what is in photos, by ssh
  parasync sync -e 'ssh -p 2222' host:/etc/hosts restored  pull
  parasync sync photos/ parasync://host/backup/photos      push to a module of a server
  parasync sync -v disk.img notes /mnt/usb                 local, several sources

SRC and DST are local paths, [USER@]HOST:PATH (from the home directory there; HOST needs sshd and parasync) or
parasync://HOST[:PORT]/MODULE[/PATH] (port 8740 unless given). As with rsync, SRC copies the directory itself and
SRC/ what is in it. A local name with a colon is given as ./a:b.
"""


@click.command(
    "sync",
    cls=Command,
    epilog=EPILOG,
    short_help="Make DST like SRC.",
    context_settings={"max_content_width": 112},
)
@click.argument("locations", nargs=-1, required=True, metavar="SRC... DST", type=click.Path(path_type=bytes))
@click.option("-n", "--dry-run", is_flag=True, help="Change nothing, tell what would be done.")
@click.option("-I", "--ignore-times", is_flag=True, help="Look into files whose size and time are equal, too.")
@click.option("-W", "--whole-file", is_flag=True, help="Send files whole instead of what differs.")
@click.option("--fsync", is_flag=True, help="Put every file on stable storage before it counts as done.")
@click.option(
    "--threads", type=int, default=0, metavar="N", help="Chunking threads of this side; 0: one per core, up to 8."
)
@click.option(
    "--timeout",
    type=float,
    default=STALL_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Give up on a silent peer after this.",
)
@click.option(
    "-e",
    "--rsh",
    metavar="COMMAND",
    default=REMOTE_SHELL,
    show_default=True,
    envvar=RSH_VARIABLE,
    show_envvar=True,
    help="Remote shell for HOST:PATH, with its options.",
)
@click.option(
    "--remote-path",
    metavar="COMMAND",
    default=REMOTE_COMMAND,
    show_default=True,
    help="What the remote shell runs there.",
)
@click.option(
    "-z",
    "--compress",
    "compression",
    flag_value=COMPRESS_AUTOMATICALLY,
    type=int,
    default=COMPRESS_AUTOMATICALLY,
    help="Compress where that is faster on the measured link; this is the default.",
)
@click.option("--no-compress", "compression", flag_value=COMPRESS_NOTHING, type=int, help="Compress nothing.")
@click.option(
    "--compress-level",
    "level",
    type=int,
    metavar="N",
    help=f"Compress everything at this zstd level, 1 to {MAX_COMPRESS_LEVEL}.",
)
@click.option(
    "--average",
    type=int,
    default=0,
    metavar="BYTES",
    help="Average chunk size, a power of two; by file size unless given.",
)
@click.option(
    "--streams",
    type=int,
    default=STREAMS_AS_NEEDED,
    metavar="N",
    help="Connections to share the content, up to 16; 0: as the link needs.",
)
@click.option(
    "--chunking",
    type=click.Choice(CHUNKINGS),
    default=CHUNKING_DEFAULT,
    show_default=True,
    help="Cut at the highest candidate, or as the paper does.",
)
@click.option(
    "--matching",
    type=click.Choice(MATCHINGS),
    default=MATCHING_FINGERPRINT,
    show_default=True,
    help="How equal chunks are found; weak-strong is the paper's way.",
)
@click.option(
    "--trace",
    metavar="FILE",
    type=click.Path(path_type=bytes),
    help="Write what each thread of both sides did when, for ui.perfetto.dev or chrome://tracing.",
)
@click.option("-v", "--verbose", is_flag=True, help="List files as they are done.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only (with --json: failures and the summary).")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one object a line, the summary last.")
@click.option(
    "-a",
    "--archive",
    "-r",
    "--recursive",
    "-l",
    "--links",
    "-p",
    "--perms",
    "-t",
    "--times",
    "habits",
    is_flag=True,
    help="Accepted as rsync's habits: directories, symlinks, permissions and times are always kept. "
    "Owners, groups and devices, which rsync's -a keeps too, are not.",
)
@click.version_option(__version__, prog_name="parasync", message="%(prog)s %(version)s")
@click.pass_obj
def command(
    begun: Begun | None,
    *,
    locations: tuple[bytes, ...],
    threads: int,
    timeout: float,
    dry_run: bool,
    ignore_times: bool,
    whole_file: bool,
    fsync: bool,
    rsh: str,
    remote_path: str,
    compression: int,
    level: int | None,
    average: int,
    streams: int,
    chunking: str,
    matching: str,
    trace: bytes | None,
    verbose: bool,
    quiet: bool,
    as_json: bool,
    habits: bool,
) -> int:
    """Make DST like SRC, sending only what DST does not have.

    Files are replaced as a whole when they are complete and verified; files only DST has are left alone.
    """
    shown = ExitStack()

    def listen(event: Event) -> None:
        if event.name == "connected":  # before that, a bar would paint over ssh's questions
            shown.enter_context(output)
        output.event(event)

    monitor = Monitor(listen)
    output: Output = JsonOutput(monitor, verbose, quiet) if as_json else TextOutput(monitor, verbose, quiet, dry_run)
    started = time.monotonic()
    try:
        with shown:
            options = Options(
                threads,
                ignore_times,
                dry_run,
                whole_file,
                fsync,
                timeout,
                compression if level is None else level,
                average,
                streams,
                rsh,
                remote_path,
                chunking,
                matching,
            )
            sources, destination = split_locations(locations)
            output.start(sources, destination)
            report = _sync(sources, destination, options, monitor, trace, begun)
    except BaseException as error:
        if as_json:
            print_summary_event(Report(status_of(error), monitor.totals, seconds=time.monotonic() - started))
        raise
    output.summary(report)
    if report.status == "ok":
        return 0
    raise error_of(report)


def _sync(
    sources: Sequence[bytes],
    destination: bytes,
    options: Options,
    monitor: Monitor,
    trace: bytes | None,
    begun: Begun | None,
) -> Report:
    from parasync.api import sync  # noqa: PLC0415
    from parasync.tracing import OFF, Tracer  # noqa: PLC0415

    ahead, connecting = begun or (None, None)
    if trace is None:
        return sync(sources, destination, options, monitor, OFF, ahead, connecting)
    tracer = Tracer()
    try:
        # Opened before the work, so that an impossible name is not found out after it.
        with open(trace, "w", encoding="utf-8") as file:
            report = sync(sources, destination, options, monitor, tracer, ahead, connecting)
            file.write(tracer.chrome("this side", "other side"))
    except OSError as error:
        raise FileError(describe_os_error("write trace", trace, error)) from error
    return report


def split_locations(locations: Sequence[bytes]) -> tuple[Sequence[bytes], bytes]:
    """(sources, destination) of the command line.

    Raises:
        UsageError: there is only one.
    """
    if len(locations) < 2:
        raise UsageError('name at least one source and the destination (see "parasync sync --help")')
    return locations[:-1], locations[-1]


def status_of(error: BaseException) -> str:
    """The summary's status for what ended a run."""
    if isinstance(error, ParaSyncError):
        return error.code
    return ParaSyncError.code if interrupt_behind(error) is None else InterruptedSyncError.code


def error_of(report: Report) -> ParaSyncError:
    """The error whose exit code a report's status stands for; its line closes those of the single files."""
    totals = report.totals
    return BY_CODE.get(report.status, ParaSyncError)(
        f"{totals.files_failed:,} of {totals.files_total:,} files were not transferred ({report.status}); "
        "the lines above name them: see to the causes and run again"
    )
