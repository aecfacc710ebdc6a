"""Greeting: versions, roles, limits and the fingerprint key; then the session runs.

The client says what it wants in one message and, if it is the sender, goes on
to announce its tree without waiting for the answer: one round trip less.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple

from parasync import __version__
from parasync.config import CHUNKING_PAPER, FILES_IN_FLIGHT, HANDSHAKE_SECONDS, MAX_FRAME
from parasync.errors import (
    ConnectionLostError,
    DeadlineError,
    ParaSyncError,
    PartialTransferError,
    ProtocolError,
    UsageError,
    VersionError,
    display,
)
from parasync.model import Failure, Monitor
from parasync.options import Options
from parasync.session.ahead import TARGET, Ahead, new_key
from parasync.session.connection import Connection, PeerGone, unexpected
from parasync.session.context import Context, Goal, Terms
from parasync.session.lanes import Lanes
from parasync.session.lobby import Lobby
from parasync.tracing import OFF, Tracer
from parasync.transport.stream import Stream
from parasync.tree.destination import Destination, open_destination
from parasync.tree.safepath import Root
from parasync.tree.scan import Source, is_single_file, open_source
from parasync.wire import codec
from parasync.wire.messages import (
    FEATURES,
    KEY_BYTES,
    PAPER_CHUNKING,
    PATCH,
    TOKEN_BYTES,
    WEAK_STRONG,
    ZSTD,
    Finish,
    FrameType,
    Hello,
    Welcome,
)
from parasync.wire.state import ProtocolState

if TYPE_CHECKING:
    from parasync.session.receiver import Receiver
    from parasync.session.sender import Sender


class Link(NamedTuple):
    """A client's connection to its server, and how to get another one.

    It wants `lanes` of them at once, and `reserve` more if the link turns out to be lossy.
    """

    stream: Stream
    lanes: int = 0
    reserve: int = 0
    connect: Callable[[], Stream] | None = None

    def new_token(self) -> bytes:
        """By which lanes find their session: as good as a password, since who knows it may join."""
        return os.urandom(TOKEN_BYTES) if self.lanes or self.reserve else b""

    def join(self, connection: Connection, hello: Hello) -> Lanes:
        return Lanes(connection, hello.token, self.lanes, self.reserve, self.connect)


def push(
    link: Link, hello: Hello, sources: Sequence[Source], failures: Sequence[Failure], context: Context, ahead: Ahead
) -> Finish:
    """The client's side of a session that sends `sources` to the server; `failures` are those it could not open.

    `ahead` may have begun on the only source, by the key that `hello` offers.

    Raises:
        ParaSyncError: what ended the session early.
    """
    connection = Connection(link.stream, ProtocolState("sender", client=True))
    asked = _greet(connection, hello)
    from parasync.session.sender import Sender  # noqa: PLC0415 - the server is at work meanwhile

    def handshake() -> Terms:
        welcome = _receive_welcome(connection, context, asked)
        _check_key(welcome.key)
        return Terms(welcome.key, ZSTD in welcome.features, welcome.files_in_flight)

    return Sender(link.join(connection, hello), sources, failures, context, handshake, ahead).run()


def pull(
    link: Link, hello: Hello, destination: Callable[[bool], Destination], context: Context, ahead: Ahead
) -> Finish:
    """The client's side of a session that receives what `hello` asks for; the key is in it.

    `destination` opens where it goes; it is told whether a single file is coming. `ahead` may have begun on the basis
    of that, by the same key.

    Raises:
        ParaSyncError: what ended the session early.
    """
    connection = Connection(link.stream, ProtocolState("receiver", client=True))
    asked = _greet(connection, hello)
    from parasync.session.receiver import Receiver  # noqa: PLC0415 - the server is at work meanwhile

    def handshake() -> Goal:
        welcome = _receive_welcome(connection, context, asked)
        return Goal(destination(welcome.single_file), PATCH in welcome.features, welcome.unasked, same_key=True)

    return Receiver(link.join(connection, hello), context, handshake, ahead).run()


def new_hello(
    *,
    push: bool,
    module: str,
    path: bytes,
    paths: Sequence[bytes],
    single_file: bool,
    many: bool,
    token: bytes = b"",
    key: bytes,
    unasked: int = 0,
    context: Context,
) -> Hello:
    """The client's first message. A pulling client chooses the key here, a pushing one offers it.

    `unasked` is the average size of the chunks that will follow at once.
    """
    options = context.options
    return Hello(
        push=push,
        module=module,
        path=path,
        paths=list(paths),
        single_file=single_file,
        many=many,
        ignore_times=options.ignore_times,
        dry_run=options.dry_run,
        whole_file=options.whole_file,
        fsync=options.fsync,
        compression=options.compression,
        average=options.average,
        fine=options.fine,
        chunking=options.chunking,
        matching=options.matching,
        key=b"" if push else key,
        offered_key=key if push else b"",
        unasked=unasked,
        trace=context.tracer is not OFF,
        token=token,
        software=f"parasync {__version__}",
        max_frame=MAX_FRAME,
        files_in_flight=FILES_IN_FLIGHT,
        features=list(FEATURES),
    )


class Place(NamedTuple):
    """What a server lets one client use: everything below `root`, or, within one process, any path of the user's."""

    root: Root | None
    read_only: bool


def preload() -> None:
    """Load what any session needs, before a client waits for it."""
    from parasync.session import receiver, sender  # noqa: F401, PLC0415


def answer(
    stream: Stream, find: Callable[[Hello], Place], threads: int, monitor: Monitor, lobby: Lobby
) -> Finish | None:
    """The server's side of a session, whichever way it goes. The stream stays the caller's to close.

    `find` says what the client may use, or raises a ParaSyncError, which the client is told. None if the connection
    was a lane of another session, in the `lobby`, to which it belongs from now on.

    Raises:
        ParaSyncError: what ended the session early.
    """
    hello, connection = _receive_hello(stream, lobby)
    if hello is None:
        return None
    lanes = Lanes(connection, hello.token)
    with ExitStack() as opened:
        opened.callback(lobby.forget, hello.token, lanes)
        try:
            context = Context(_options(hello, threads), monitor, Tracer() if hello.trace else OFF, hello.trace)
            if hello.token:
                lobby.host(hello.token, lanes)
            session = (_answer_push if hello.push else _answer_pull)(lanes, hello, find(hello), context, opened)
        except ParaSyncError as error:
            lanes.close()
            connection.refuse(error)
            raise
        return session.run()


def _options(hello: Hello, threads: int) -> Options:
    """What a client asks for.

    Raises:
        UsageError: it asks for something that is not known here.
    """
    return Options(
        threads=threads,
        ignore_times=hello.ignore_times,
        dry_run=hello.dry_run,
        whole_file=hello.whole_file,
        fsync=hello.fsync,
        compression=hello.compression,
        average=hello.average,
        fine=hello.fine,
        chunking=hello.chunking,
        matching=hello.matching,
    )


def _answer_push(lanes: Lanes, hello: Hello, place: Place, context: Context, opened: ExitStack) -> Receiver:
    """The session; `opened` gets what is to be closed after it."""
    from parasync.session.receiver import Receiver  # noqa: PLC0415 - a client needs one of the two only

    if place.read_only and not hello.dry_run:
        raise UsageError(f"module '{display(hello.module)}' is read-only: push to another one")
    ahead = opened.enter_context(Ahead(hello.offered_key or new_key(), context.tracer))
    destination = open_destination(hello.path, place.root, hello.single_file, hello.many, hello.dry_run)
    if destination.root is not None:
        opened.callback(destination.root.close)

    def handshake() -> Goal:
        lanes.main.send(FrameType.WELCOME, codec.encode_welcome(_new_welcome(ahead.key, single_file=False)))
        return Goal(destination, PATCH in hello.features, hello.unasked, same_key=ahead.key == hello.offered_key)

    return Receiver(lanes, context, handshake, ahead)


def _answer_pull(lanes: Lanes, hello: Hello, place: Place, context: Context, opened: ExitStack) -> Sender:
    """The session; `opened` gets what is to be closed after it."""
    from parasync.session.sender import Sender  # noqa: PLC0415

    _check_key(hello.key)
    sources, failures = _open_sources(hello, place)
    for source in sources:
        opened.callback(source.root.close)
    single_file = not failures and is_single_file(sources)
    ahead = opened.enter_context(Ahead(hello.key, context.tracer))
    if single_file:
        ahead.begin(sources[0].root, sources[0].name, TARGET, context.options)
    welcome = _new_welcome(b"", single_file=single_file, unasked=ahead.average)
    lanes.main.send(FrameType.WELCOME, codec.encode_welcome(welcome))
    terms = Terms(hello.key, ZSTD in hello.features, hello.files_in_flight)
    return Sender(lanes, sources, failures, context, lambda: terms, ahead)


def _open_sources(hello: Hello, place: Place) -> tuple[list[Source], list[Failure]]:
    """The sources that can be read, and why the others cannot.

    Raises:
        PartialTransferError: none can.
    """
    sources: list[Source] = []
    failures: list[Failure] = []
    for path in hello.paths:
        try:
            sources.append(open_source(path, place.root))
        except PartialTransferError as error:
            failures.append(Failure(path, error.code, str(error)))
    if not sources:
        raise PartialTransferError(failures[0].message if failures else "no source was named")
    return sources, failures


def _new_welcome(key: bytes, *, single_file: bool, unasked: int = 0) -> Welcome:
    return Welcome(
        key=key,
        single_file=single_file,
        unasked=unasked,
        software=f"parasync {__version__}",
        max_frame=MAX_FRAME,
        files_in_flight=FILES_IN_FLIGHT,
        features=list(FEATURES),
        clock=time.monotonic_ns(),
    )


def _receive_hello(stream: Stream, lobby: Lobby) -> tuple[Hello | None, Connection]:
    """The client's first message, and the connection in the role that it leaves to this side; None for a lane."""
    opening = Connection(stream, ProtocolState("receiver", client=False))
    overdue = threading.Event()

    def drop() -> None:
        overdue.set()
        stream.abort()

    timer = threading.Timer(HANDSHAKE_SECONDS, drop)
    timer.daemon = True
    timer.start()
    try:
        opening.send_preamble()
        opening.receive_preamble()
        header = opening.receive()
        if header.type is FrameType.JOIN:
            lobby.join(bytes(opening.payload(header)), header.file, stream)
            return None, opening
        if header.type is not FrameType.HELLO:
            raise unexpected(header)
        hello = codec.decode_hello(opening.payload(header))
    except (ConnectionLostError, PeerGone) as error:
        if overdue.is_set():
            raise DeadlineError(f"{stream.name} said nothing useful for {HANDSHAKE_SECONDS:g} seconds") from None
        if isinstance(error, PeerGone):
            raise ConnectionLostError(f"{stream.name} went away before it said what it wants") from None
        raise
    except ParaSyncError as error:
        opening.refuse(error)
        raise
    finally:
        timer.cancel()
    if hello.push:
        return hello, opening
    state = ProtocolState("sender", client=False)
    state.on_receive(FrameType.HELLO)
    return hello, Connection(stream, state)


def _greet(connection: Connection, hello: Hello) -> int:
    """Say what this client wants; returns when, for the alignment of clocks."""
    payload = codec.encode_hello(hello)
    # A server that is full hangs up at once: what it said, or that it is gone, is found out by receiving.
    with suppress(PeerGone):
        connection.send_preamble()
    with suppress(PeerGone):
        connection.send(FrameType.HELLO, payload)
    return time.monotonic_ns()


def _receive_welcome(connection: Connection, context: Context, asked: int) -> Welcome:
    connection.receive_preamble()
    header = connection.receive()
    if header.type is not FrameType.WELCOME:
        raise unexpected(header)
    welcome = codec.decode_welcome(connection.payload(header))
    _check_features(welcome, context.options, connection.stream.name)
    context.tracer.align(asked, time.monotonic_ns(), welcome.clock)
    return welcome


def _check_features(welcome: Welcome, options: Options, name: str) -> None:
    """Raise VersionError unless the server knows what was asked of it: an older one would have ignored it."""
    for wanted, feature, option in (
        (options.chunking == CHUNKING_PAPER, PAPER_CHUNKING, f"--chunking {options.chunking}"),
        (options.weak_strong, WEAK_STRONG, f"--matching {options.matching}"),
    ):
        if wanted and feature not in welcome.features:
            raise VersionError(f"{name} does not know {option}: upgrade parasync there, or leave the option out")


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ProtocolError(f"a fingerprint key of {len(key)} bytes where {KEY_BYTES} were expected")
