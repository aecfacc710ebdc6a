"""ssh: the stream over a remote shell's standard input and output, and what its failing means.

The remote shell is a child of this process and shares its terminal and its standard error: questions and
complaints of ssh, and of the shell on the other side, reach the user as they are. It is given

    RSH... [USER@]HOST REMOTE-PATH serve --stdio

and nothing that comes from a path or a file name; these travel in the protocol.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from parasync.config import STALL_SECONDS
from parasync.errors import (
    ConnectDeadlineError,
    ConnectionLostError,
    DeadlineError,
    ParaSyncError,
    ProtocolError,
    StartError,
    UsageError,
    display,
)
from parasync.transport.pipe import PipeStream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Buffer

START_SECONDS = 180.0
"""How long the other side may take until it greets: somebody may have to find a password. (sshd allows 120 s.)"""
LAST_WORDS_SECONDS = 1.0
"""How long a remote shell whose connection ended is left alone, to say why; its messages then come before ours."""
EXIT_SECONDS = 5.0
"""How long it may take to leave once its standard input is closed; then it is told to, then forced."""
NOISE_SHOWN = 60
"""Characters of a stray line that are quoted in a message."""

NOT_FOUND = 127
"""A shell's exit code for a command that is not there."""
NO_CONNECTION = 255
"""ssh's exit code for a failure of its own."""

PACKAGE = "parasync-cdc"


def _nobody() -> None:
    pass


class Shell(NamedTuple):
    """A remote shell, where it leads and what it is to run there."""

    words: Sequence[str]
    login: str
    remote_path: str

    @classmethod
    def parse(cls, login: str, rsh: str, remote_path: str) -> Shell:
        """`rsh` is split as a shell would, `remote_path` is left to the shell on the other side.

        Raises:
            UsageError: one of them cannot be a command.
        """
        try:
            words = shlex.split(rsh)
        except ValueError as error:
            reason = str(error).lower()
            raise UsageError(f"--rsh '{display(rsh)}' cannot be split into words: {reason}") from error
        if not words:
            raise UsageError("--rsh is empty: name a command such as ssh, or leave it out")
        if not remote_path.strip():
            raise UsageError("--remote-path is empty: name a command such as parasync, or leave it out")
        return cls(words, login, remote_path)

    @property
    def command(self) -> list[str]:
        return [*self.words, self.login, self.remote_path, "serve", "--stdio"]

    @property
    def name(self) -> str:
        return display(self.login)

    @property
    def check(self) -> str:
        """A command line with which a user can see what gets in the way."""
        return display(shlex.join([*self.words, self.login, "true"]))


class ChildStream(PipeStream):
    """The standard input and output of a program that this starts and sees to its end; see `Stream`.

    Raises:
        OSError: from the constructor, if it cannot be started.
    """

    def __init__(self, command: Sequence[str], name: str, idle_timeout: float = STALL_SECONDS) -> None:
        their_input, outgoing = os.pipe()
        incoming, their_output = os.pipe()
        try:
            self._child = subprocess.Popen(command, stdin=their_input, stdout=their_output)
        except BaseException:
            os.close(outgoing)
            os.close(incoming)
            raise
        finally:
            os.close(their_input)
            os.close(their_output)
        # A thread hears of the end at once; Popen.wait with a timeout looks every 50 ms.
        self._exit = threading.Thread(target=self._child.wait, name=f"child {name}", daemon=True)
        self._exit.start()
        super().__init__(incoming, outgoing, name, idle_timeout)

    def abort(self) -> None:
        if not self._gone:
            timer = threading.Timer(LAST_WORDS_SECONDS, self._child.terminate)
            timer.daemon = True
            timer.start()
        super().abort()

    def close(self) -> None:
        """Release the stream, and wait for the program to end: EXIT_SECONDS in peace, then by force."""
        super().close()
        self._exit.join(EXIT_SECONDS)
        if self._exit.is_alive():
            self._child.terminate()
            self._exit.join(EXIT_SECONDS)
        if self._exit.is_alive():
            self._child.kill()
            self._exit.join()

    def exit_code(self) -> int | None:
        """How the program ended, negative for a signal; None if it does not within LAST_WORDS_SECONDS."""
        self._exit.join(LAST_WORDS_SECONDS)
        return self._child.returncode


class SshStream(ChildStream):
    """The stream to what a remote shell runs; its first `receive_into` tells what became of that.

    `greeting` is what the other side sends first. Until it did the silence allowed is START_SECONDS, and what is
    `expect`ed counts from then on.

    Raises:
        StartError: from the constructor: the remote shell cannot be run. From the first `receive_into`:
            there is no ParaSync on the other side, or it does not start.
        ConnectionLostError: from the first `receive_into`, also: the remote shell could not connect.
        ConnectDeadlineError: from the first `receive_into`: nothing happened for START_SECONDS.
        ProtocolError: from the first `receive_into`: something else came first.
    """

    def __init__(self, shell: Shell, greeting: bytes) -> None:
        self.shell = shell
        self._greeting = greeting
        self._greeted: Callable[[], None] = _nobody
        self._later_timeout = STALL_SECONDS
        try:
            super().__init__(shell.command, shell.name, START_SECONDS)
        except OSError as error:
            raise StartError(
                f"cannot run the remote shell '{display(shell.words[0])}': {os.strerror(error.errno or 0)} "
                "(install OpenSSH's client, or name another one with --rsh)"
            ) from error

    def expect(self, greeted: Callable[[], None], idle_timeout: float) -> None:
        """Whom to call when the other side has greeted, and the silence allowed then. Before the first receiving."""
        self._greeted, self._later_timeout = greeted, idle_timeout

    def send(self, *buffers: Buffer) -> None:
        try:
            super().send(*buffers)
        except ConnectionLostError:
            if not self._greeting or self._gone:
                raise
            # Lost like what the kernel still holds for a peer that is gone; why it is, the first receiver finds out.

    def abort(self) -> None:
        starting = bool(self._greeting)
        super().abort()
        if starting:  # it may be asking for a password, and would not notice
            self._child.terminate()

    def close(self) -> None:
        if self._greeting:  # nobody has listened: there is no end to wait for
            self._child.terminate()
        super().close()

    def receive_into(self, view: memoryview) -> None:
        if self._greeting:
            try:
                self._receive_greeting(view)
            finally:
                self._greeting = b""
            return
        try:
            super().receive_into(view)
        except (EOFError, ConnectionLostError):
            if not self._gone:
                self.exit_code()
            raise

    def _receive_greeting(self, view: memoryview) -> None:
        try:
            super().receive_into(view)
        except DeadlineError:
            raise ConnectDeadlineError(
                f"{self.name} did not answer within {START_SECONDS:g} seconds: does '{self.shell.check}' return?"
            ) from None
        except (EOFError, ConnectionLostError):
            if self._gone:
                raise
            raise self._failure(self.exit_code()) from None
        expected = self._greeting[: view.nbytes]
        if bytes(view.cast("B")[: len(expected)]) != expected:
            raise self._noise(bytes(view))
        self.idle_timeout = self._later_timeout
        self._greeted()

    def _failure(self, code: int | None) -> ParaSyncError:
        """Why nobody greeted, by the exit code of the remote shell, which is the remote command's or its own."""
        name, path = self.name, display(self.shell.remote_path)
        if code == NO_CONNECTION:
            return ConnectionLostError(
                f"no connection to {name}: the lines before this one say why (does '{self.shell.check}' work?)"
            )
        if code == NOT_FOUND:
            return StartError(
                f"'{path}' was not found on {name}: install it there (pip install {PACKAGE}), or say where it is "
                "with --remote-path"
            )
        if code is None or code < 0:
            how = "hung up" if code is None else f"was ended by signal {-code}"
            return ConnectionLostError(f"the remote shell to {name} {how} before ParaSync answered: run again")
        return StartError(
            f"'{path} serve --stdio' on {name} ended with exit code {code} before it answered: if it is older than "
            f"this side, upgrade it there (pip install --upgrade {PACKAGE}), else see the lines before this one"
        )

    def _noise(self, first: bytes) -> ProtocolError:
        with suppress(OSError):  # a little more of the line, if it is there
            first += os.read(self._incoming, NOISE_SHOWN)
        line = display(first.lstrip().partition(b"\n")[0][:NOISE_SHOWN])
        return ProtocolError(
            f"{self.name} sent '{line}' before the protocol: something there prints when a command is run "
            f"(~/.bashrc?): '{self.shell.check}' must print nothing"
        )
