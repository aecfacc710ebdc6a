"""What Python users import: one call that synchronises, typed options in, a report out."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from parasync.config import (
    COMPRESS_NOTHING,
    CONNECT_SECONDS,
    DISTANT_LANES,
    LANE_CONNECT_SECONDS,
    LONG_ROUND_TRIP,
    LOSSY_LANES,
    STREAMS_AS_NEEDED,
    Options,
)
from parasync.errors import PartialTransferError, UsageError
from parasync.location import Location, parse
from parasync.model import Failure, Monitor, Report
from parasync.pipeline import Scope
from parasync.session.context import Context
from parasync.session.handshake import Link, Place, answer, new_hello, pull, push
from parasync.session.lobby import Lobby
from parasync.tracing import OFF, Tracer
from parasync.transport.memory import memory_pair
from parasync.transport.stream import Stream
from parasync.transport.tcp import connect
from parasync.tree.destination import Destination, open_destination
from parasync.tree.scan import Source, is_single_file, open_source
from parasync.wire.codec import MAGIC
from parasync.wire.messages import Finish, Hello

__all__ = ["sync"]

PathArgument = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def sync(
    sources: Sequence[PathArgument] | PathArgument,
    destination: PathArgument,
    options: Options | None = None,
    monitor: Monitor | None = None,
    tracer: Tracer = OFF,
) -> Report:
    """Make `destination` hold what `sources` hold, moving as few bytes as possible.

    Either side may be `[USER@]HOST:PATH`, which is reached by ssh, or
    `parasync://HOST[:PORT]/MODULE[/PATH]`; trailing slashes mean what they mean
    to rsync. Paths that fail do not stop the others: they are in the report,
    whose status is then "partial" or "vanished". The event "connected" says
    that the other side is there; until then ssh may be talking to the user.
    A `Tracer` gets the spans of both sides.

    Raises:
        ParaSyncError: nothing more could be done; the subclass says what kind of trouble it was.
    """
    context = Context(options or Options(), monitor or Monitor(), tracer)
    if isinstance(sources, (str, bytes, os.PathLike)):
        sources = [sources]
    froms = [parse(os.fsencode(source)) for source in sources]
    to = parse(os.fsencode(destination))
    if not froms:
        raise UsageError("no source: name at least one file or directory")
    started = time.monotonic()
    context.monitor.emit("start")
    if to.host:
        finish = _push(froms, to, context)
    elif froms[0].host:
        finish = _pull(froms, to, context)
    else:
        finish = _local(froms, to, context)
    return _report(finish, context.monitor, time.monotonic() - started)


def _push(froms: list[Location], to: Location, context: Context) -> Finish:
    if any(source.host for source in froms):
        raise UsageError("source and destination are both on other hosts: run the sync on one of these")
    sources, failures = _open_sources(froms)
    try:
        link = _connect(to, context)
        try:
            hello = new_hello(
                push=True,
                module=to.module,
                path=to.path,
                paths=[],
                single_file=is_single_file(sources),
                many=len(froms) > 1,
                token=link.new_token(),
                context=context,
            )
            finish = push(link, hello, sources, failures, context)
        finally:
            _close(link.stream, context.monitor)
    finally:
        for source in sources:
            source.root.close()
    return finish


def _pull(froms: list[Location], to: Location, context: Context) -> Finish:
    if any(source.server != froms[0].server for source in froms):
        raise UsageError("sources on different hosts or modules: run one sync for each")
    opened: list[Destination] = []

    def destination(single_file: bool) -> Destination:
        opened.append(open_destination(to.path, None, single_file, len(froms) > 1, context.options.dry_run))
        return opened[0]

    link = _connect(froms[0], context)
    try:
        hello = new_hello(
            push=False,
            module=froms[0].module,
            path=b"",
            paths=[source.path for source in froms],
            single_file=False,
            many=len(froms) > 1,
            token=link.new_token(),
            context=context,
        )
        return pull(link, hello, destination, context)
    finally:
        _close(link.stream, context.monitor)
        for where in opened:
            if where.root is not None:
                where.root.close()


def _local(froms: list[Location], to: Location, context: Context) -> Finish:
    """Both roles in this process: the same engine over a pair of streams in memory."""
    # Nothing leaves the memory; sends that wait for a slow disk would look like a slow link.
    context = context._replace(options=replace(context.options, compression=COMPRESS_NOTHING))
    if any(source.host for source in froms):
        raise UsageError("local and remote sources cannot be mixed: run one sync for each")
    sources, failures = _open_sources(froms)
    finishes: list[Finish] = []
    try:
        hello = new_hello(
            push=True,
            module="",
            path=to.path,
            paths=[],
            single_file=is_single_file(sources),
            many=len(froms) > 1,
            context=context,
        )
        here, there = memory_pair()
        context.monitor.emit("connected")
        with Scope("local") as scope:
            scope.on_cancel(here.abort)

            def receive() -> None:
                finish = answer(there, anywhere, context.options.threads, context.monitor, Lobby())
                if finish is not None:
                    finishes.append(finish)

            scope.spawn(receive)
            # The receiver tells the user how far it is; two voices would count everything twice.
            push(Link(here), hello, sources, failures, context._replace(monitor=Monitor()))
        context.monitor.add(bytes_sent=here.bytes_sent, bytes_received=here.bytes_received)
    finally:
        for source in sources:
            source.root.close()
    return finishes[0]


def anywhere(_: Hello) -> Place:
    """Every path that this user may use."""
    return Place(None, read_only=False)


def _open_sources(froms: list[Location]) -> tuple[list[Source], list[Failure]]:
    """The local sources that are there, and why the others are not.

    Raises:
        PartialTransferError: none is.
    """
    sources: list[Source] = []
    failures: list[Failure] = []
    for source in froms:
        try:
            sources.append(open_source(source.path, None))
        except PartialTransferError as error:
            failures.append(Failure(source.path, error.code, str(error)))
    if not sources:
        raise PartialTransferError(failures[0].message)
    return sources, failures


def _connect(location: Location, context: Context) -> Link:
    options = context.options
    if location.is_ssh:
        if options.streams > 1:
            raise UsageError("--streams is for parasync:// only: ssh carries a session over one connection")
        from parasync.transport.ssh import Shell, SshStream  # noqa: PLC0415 - other syncs start no process

        shell = Shell.parse(location.host, options.rsh, options.remote_path)
        return Link(SshStream(shell, MAGIC, lambda: context.monitor.emit("connected"), options.timeout))
    stream = connect(location.host, location.port, min(CONNECT_SECONDS, options.timeout))
    stream.idle_timeout = options.timeout
    context.monitor.emit("connected")
    lanes, reserve = options.streams - 1, 0
    if options.streams == STREAMS_AS_NEEDED:
        lanes = DISTANT_LANES if stream.round_trip >= LONG_ROUND_TRIP else 0
        reserve = LOSSY_LANES - lanes
    return Link(stream, lanes, reserve, partial(connect, location.host, location.port, LANE_CONNECT_SECONDS))


def _close(stream: Stream, monitor: Monitor) -> None:
    stream.close()
    monitor.add(bytes_sent=stream.bytes_sent, bytes_received=stream.bytes_received)


def _report(finish: Finish, monitor: Monitor, seconds: float) -> Report:
    """The receiver's account, with this side's transport counters."""
    totals = monitor.totals
    for name in (
        "files_total",
        "files_sent",
        "files_unchanged",
        "files_failed",
        "bytes_target",
        "bytes_copied",
        "bytes_literal",
    ):
        setattr(totals, name, getattr(finish, name))
    failures = [Failure(failed.path, failed.code, failed.message) for failed in finish.failures]
    return Report(finish.status, totals, failures, seconds)
