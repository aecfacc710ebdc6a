"""The client's side of a sync: the greeting it sends, the session it runs, and the report of it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from parasync.config import COMPRESS_NOTHING, DISTANT_LANES, LONG_ROUND_TRIP, LOSSY_LANES, STREAMS_AS_NEEDED
from parasync.location import Location
from parasync.model import Failure, Monitor, Report
from parasync.pipeline import Scope
from parasync.session import handshake
from parasync.session.ahead import Ahead
from parasync.session.context import Context
from parasync.session.handshake import Link, Place, answer, new_hello
from parasync.session.lobby import Lobby
from parasync.transport.dialling import Dialling
from parasync.transport.memory import memory_pair
from parasync.tree.destination import Destination, open_destination
from parasync.tree.scan import Source, is_single_file
from parasync.wire.messages import Finish, Hello


def push(
    dialling: Dialling,
    to: Location,
    sources: Sequence[Source],
    failures: Sequence[Failure],
    context: Context,
    ahead: Ahead,
) -> Report:
    """Send `sources`, the first of which `ahead` may have begun on; `failures` are those that could not be opened.

    Raises:
        ParaSyncError: what ended it early.
    """
    link = _link(dialling, context)
    hello = new_hello(
        push=True,
        module=to.module,
        path=to.path,
        paths=[],
        single_file=is_single_file(sources),
        many=len(sources) + len(failures) > 1,
        token=link.new_token(),
        key=ahead.key,
        unasked=ahead.average,
        context=context,
    )
    finish = handshake.push(link, hello, sources, failures, context, ahead)
    return _report(finish, context.monitor)


def pull(dialling: Dialling, froms: Sequence[Location], to: Location, context: Context, ahead: Ahead) -> Report:
    """Fetch `froms`, on whose basis `ahead` may have begun.

    Raises:
        ParaSyncError: what ended it early.
    """
    opened: list[Destination] = []
    many = len(froms) > 1

    def destination(single_file: bool) -> Destination:
        opened.append(open_destination(to.path, None, single_file, many, context.options.dry_run))
        return opened[0]

    link = _link(dialling, context)
    try:
        hello = new_hello(
            push=False,
            module=froms[0].module,
            path=b"",
            paths=[source.path for source in froms],
            single_file=False,
            many=many,
            token=link.new_token(),
            key=ahead.key,
            context=context,
        )
        finish = handshake.pull(link, hello, destination, context, ahead)
    finally:
        for where in opened:
            if where.root is not None:
                where.root.close()
    return _report(finish, context.monitor)


def local(
    to: Location, sources: Sequence[Source], failures: Sequence[Failure], context: Context, ahead: Ahead
) -> Report:
    """Both roles in this process, over a pair of streams in memory; `ahead` may have begun on the only source.

    Raises:
        ParaSyncError: what ended it early.
    """
    # Nothing leaves the memory; sends that wait for a slow disk would look like a slow link.
    context = context._replace(options=replace(context.options, compression=COMPRESS_NOTHING))
    finishes: list[Finish] = []
    hello = new_hello(
        push=True,
        module="",
        path=to.path,
        paths=[],
        single_file=is_single_file(sources),
        many=len(sources) + len(failures) > 1,
        key=ahead.key,
        unasked=ahead.average,
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
        silent = context._replace(monitor=Monitor())
        handshake.push(Link(here), hello, sources, failures, silent, ahead)
    context.monitor.add(bytes_sent=here.bytes_sent, bytes_received=here.bytes_received)
    return _report(finishes[0], context.monitor)


def anywhere(_: Hello) -> Place:
    """Every path that this user may use."""
    return Place(None, read_only=False)


def _link(dialling: Dialling, context: Context) -> Link:
    stream = dialling.finish()
    if dialling.another is None:
        return Link(stream)
    lanes, reserve = context.options.streams - 1, 0
    if context.options.streams == STREAMS_AS_NEEDED:
        lanes = DISTANT_LANES if stream.round_trip >= LONG_ROUND_TRIP else 0
        reserve = LOSSY_LANES - lanes
    return Link(stream, lanes, reserve, dialling.another)


def _report(finish: Finish, monitor: Monitor) -> Report:
    """The receiver's account; what the transport counted is added to its totals when that is closed."""
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
    return Report(finish.status, totals, failures)
