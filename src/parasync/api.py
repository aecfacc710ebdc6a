"""What Python users import: one call that synchronises, typed options in, a report out.

The order of its work is what keeps a run short: Phase I and the connection
begin before the session's modules are loaded, which takes as long as either.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack

from msgspec.structs import replace

from parasync.config import CHUNKING_DEFAULT
from parasync.errors import PartialTransferError, UsageError
from parasync.location import Location, parse
from parasync.model import Failure, Monitor, Report
from parasync.options import Options
from parasync.session.ahead import BASIS, TARGET, Ahead, new_key
from parasync.session.context import Context
from parasync.tracing import OFF, Tracer
from parasync.transport.dialling import Dialling, UnderWay
from parasync.tree.destination import find_basis
from parasync.tree.scan import Source, is_single_file, open_source

__all__ = ["sync"]

PathArgument = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def sync(
    sources: Sequence[PathArgument] | PathArgument,
    destination: PathArgument,
    options: Options | None = None,
    monitor: Monitor | None = None,
    tracer: Tracer = OFF,
    ahead: Ahead | None = None,
    connecting: UnderWay | None = None,
) -> Report:
    """Make `destination` hold what `sources` hold, moving as few bytes as possible.

    Either side may be `[USER@]HOST:PATH`, which is reached by ssh, or
    `parasync://HOST[:PORT]/MODULE[/PATH]`; trailing slashes mean what they mean
    to rsync. Paths that fail do not stop the others: they are in the report,
    whose status is then "partial" or "vanished". The event "connected" says
    that the other side is there; until then ssh may be talking to the user.
    A `Tracer` gets the spans of both sides. What a program has begun `ahead` of
    this, and a connection that is on its way, are used where they fit, and ended
    in any case.

    Raises:
        ParaSyncError: nothing more could be done; the subclass says what kind of trouble it was.
    """
    context = Context(options or Options(), monitor or Monitor(), tracer)
    with ExitStack() as stack:
        if connecting is not None:
            stack.callback(connecting.close)
        begun = stack.enter_context(ahead or Ahead(new_key()))
        begun.watch(tracer)
        if isinstance(sources, (str, bytes, os.PathLike)):
            sources = [sources]
        froms = [parse(os.fsencode(source)) for source in sources]
        to = parse(os.fsencode(destination))
        if not froms:
            raise UsageError("no source: name at least one file or directory")
        started = time.monotonic()
        context.monitor.emit("start")
        if froms[0].host and not to.host:
            report = _pull(froms, to, context, begun, connecting)
        else:
            report = _from_here(froms, to, context, begun, connecting)
        report.seconds = time.monotonic() - started
        return report


def _from_here(
    froms: list[Location], to: Location, context: Context, ahead: Ahead, connecting: UnderWay | None
) -> Report:
    """Push, or sync locally."""
    if any(source.host for source in froms):
        raise UsageError(
            "source and destination are both on other hosts: run the sync on one of these"
            if to.host
            else "local and remote sources cannot be mixed: run one sync for each"
        )
    sources, failures = _open_sources(froms)

    def begin(context: Context) -> None:
        if is_single_file(sources) and not failures:
            ahead.begin(sources[0].root, sources[0].name, TARGET, context.options)
        else:
            ahead.give_up()

    try:
        if not to.host:
            begin(context)
            from parasync import client  # noqa: PLC0415

            return client.local(to, sources, failures, context, ahead)
        with Dialling(to, context.options, context.monitor, connecting) as dialling:
            context = _adapted(context, dialling)
            begin(context)
            from parasync import client  # noqa: PLC0415

            return client.push(dialling, to, sources, failures, context, ahead)
    finally:
        for source in sources:
            source.root.close()


def _pull(froms: list[Location], to: Location, context: Context, ahead: Ahead, connecting: UnderWay | None) -> Report:
    if any(source.server != froms[0].server for source in froms):
        raise UsageError("sources on different hosts or modules: run one sync for each")
    with Dialling(froms[0], context.options, context.monitor, connecting) as dialling:
        context = _adapted(context, dialling)
        if len(froms) == 1 and (basis := find_basis(to.path, froms[0].path)) is not None:
            directory, name = basis
            with directory:
                ahead.begin(directory, name, BASIS, context.options)
        else:
            ahead.give_up()
        from parasync import client  # noqa: PLC0415

        return client.pull(dialling, froms, to, context, ahead)


def _adapted(context: Context, dialling: Dialling) -> Context:
    """Finer chunks over a distant link; the paper's ways keep its average."""
    options = context.options
    if options.average or options.weak_strong or options.chunking != CHUNKING_DEFAULT or not dialling.distant:
        return context
    return context._replace(options=replace(options, fine=True))


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
