"""The server: an accept loop, modules (named roots), limits; or a single session for a remote shell."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from parasync.errors import (
    ConnectionLostError,
    ParaSyncError,
    SelectionError,
    StartError,
    UsageError,
    describe_os_error,
    display,
)
from parasync.model import Monitor
from parasync.pipeline import Cancelled
from parasync.session.handshake import Place, answer, preload
from parasync.session.lobby import Lobby
from parasync.transport.pipe import standard_stream
from parasync.transport.stream import Stream
from parasync.transport.tcp import Listener
from parasync.tree.safepath import Root
from parasync.wire.messages import Hello

MAX_SESSIONS = 64
"""Sessions at once; each may hold some 100 MiB and a few hundred descriptors. A connection that joins a session is
counted only until it has."""

ACCEPT_AGAIN_SECONDS = 0.1
"""Pause after a connection could not be accepted (no descriptors, no memory): it will not help to try at once."""

_LOOPBACK = ("127.", "::1", "localhost")


class Module(NamedTuple):
    """A directory that clients may use by its name."""

    name: str
    path: bytes
    read_only: bool

    @classmethod
    def parse(cls, argument: str) -> Module:
        """From NAME=PATH or NAME=PATH:ro.

        Raises:
            UsageError: it is neither.
        """
        name, equals, path = argument.partition("=")
        if not equals or not path or not name or "/" in name:
            raise UsageError(f"--module '{display(argument)}' is not of the form NAME=PATH or NAME=PATH:ro")
        read_only = path.endswith(":ro")
        return cls(name, os.fsencode(path[: -len(":ro")] if read_only else path), read_only)


class Server:
    """Serves modules on one address until `stop`.

    Module directories are opened once, when the server starts, and held: what
    happens to their names later does not matter.

    Raises:
        UsageError: from the constructor: no module, or an address beyond loopback without `insecure`.
        SelectionError: from the constructor: a module's directory cannot be opened.
        StartError: from the constructor: the address cannot be used.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        modules: Sequence[Module],
        insecure: bool = False,
        threads: int = 0,
        log: Callable[[str], None] | None = None,
    ) -> None:
        if not modules:
            raise UsageError("nothing to serve: give at least one --module NAME=PATH")
        if not insecure and not listen[0].startswith(_LOOPBACK):
            raise UsageError(
                f"refusing to listen on {display(listen[0] or '*')} without encryption: "
                "listen on 127.0.0.1, or add --insecure on a network you trust"
            )
        preload()
        self._threads = threads
        self._log = log or _log_to_stderr
        self._modules: dict[str, Place] = {}
        self._streams: set[Stream] = set()
        self._sessions: set[threading.Thread] = set()
        self._lobby = Lobby()
        self._lock = threading.Lock()
        self._stopping = False
        try:
            for module in modules:
                self._add(module)
            self._listener = Listener(*listen)
        except BaseException:
            self._close_modules()
            raise

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) as bound."""
        return self._listener.address

    def run(self) -> None:
        """Accept and serve until `stop`; returns when the last session has ended."""
        try:
            while True:
                try:
                    stream = self._listener.accept()
                except EOFError:
                    return
                except ConnectionLostError as error:
                    self._log(str(error))
                    time.sleep(ACCEPT_AGAIN_SECONDS)
                    continue
                self._start(stream)
        finally:
            self.stop()
            for thread in list(self._sessions):
                thread.join()
            self._close_modules()

    def stop(self) -> None:
        """Stop accepting and end all sessions; from any thread, idempotent."""
        self._stopping = True
        self._listener.close()
        self._lobby.close()
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.abort()

    def _start(self, stream: Stream) -> None:
        with self._lock:
            full = self._stopping or len(self._streams) >= MAX_SESSIONS
            if not full:
                self._streams.add(stream)
        if full:
            self._log(f"{stream.name}: refused, {MAX_SESSIONS} sessions are running")
            stream.abort()
            return
        thread = threading.Thread(target=self._serve, args=(stream,), name=f"session {stream.name}", daemon=True)
        with self._lock:
            self._sessions.add(thread)
        thread.start()

    def _serve(self, stream: Stream) -> None:
        joined = False
        try:
            joined = answer(stream, self._find, self._threads, Monitor(), self._lobby) is None
        except ParaSyncError as error:
            if not (self._stopping and isinstance(error, ConnectionLostError)):
                self._log(f"{stream.name}: {error}")
        except Cancelled:
            pass
        except Exception as error:  # noqa: BLE001 - one session's fault must not end the server
            self._log(f"{stream.name}: unexpected {type(error).__name__}: {error}")
            if os.environ.get("PARASYNC_TRACEBACK"):
                sys.excepthook(type(error), error, error.__traceback__)
        finally:
            if not joined:
                stream.close()
            with self._lock:
                self._streams.discard(stream)
                self._sessions.discard(threading.current_thread())

    def _find(self, hello: Hello) -> Place:
        place = self._modules.get(hello.module)
        if place is None:
            raise StartError(f"unknown module '{display(hello.module)}': ask the server's owner which there are")
        return place

    def _add(self, module: Module) -> None:
        if module.name in self._modules:
            raise UsageError(f"module {module.name!r} is given twice: choose another name")
        try:
            root = Root.open(module.path)
        except OSError as error:
            raise SelectionError(describe_os_error("open module", module.path, error)) from error
        self._modules[module.name] = Place(root, module.read_only)

    def _close_modules(self) -> None:
        for place in self._modules.values():
            if place.root is not None:
                place.root.close()


def serve_stdio() -> None:
    """One session over standard input and output, with all that this user may do: what a remote shell starts.

    There are no modules; relative paths begin in the working directory.

    Raises:
        ParaSyncError: what ended the session early. The client knows, except of ConnectionLostError
            and DeadlineError.
    """
    stream = standard_stream("the client")
    try:
        answer(stream, _anywhere, 0, Monitor(), Lobby())
    except Cancelled:
        raise ConnectionLostError(f"{stream.name} went away") from None
    finally:
        stream.close()


def _anywhere(hello: Hello) -> Place:
    if hello.module:
        raise StartError(f"no module '{display(hello.module)}' here: name a path of the host")
    return Place(None, read_only=False)


def _log_to_stderr(line: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"parasync: {line}\n")
        sys.stderr.flush()
