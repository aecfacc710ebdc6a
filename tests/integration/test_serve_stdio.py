"""`parasync serve --stdio` by itself, as a remote shell starts it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cli_support import COMMAND, one_error
from parasync.config import MAGIC
from parasync.wire.codec import PREAMBLE_BYTES


def serve(*args: str, **streams: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, "serve", *args], capture_output=True, check=False, timeout=60, **streams)  # type: ignore[call-overload]


@pytest.mark.parametrize(("given", "code"), [(b"", 10), (b"GET / HTTP/1.0\r\n\r\n", 12), (MAGIC + b"\1\0\0\0", 10)])
def test_nothing_but_the_protocol_is_on_standard_output(given: bytes, code: int) -> None:
    done = serve("--stdio", input=given)
    assert done.returncode == code
    assert done.stdout.startswith(MAGIC)
    assert len(done.stdout) == PREAMBLE_BYTES or b"HTTP" in given
    assert b"Traceback" not in done.stderr


def test_what_is_printed_there_goes_to_standard_error() -> None:
    code = (
        "import sys; from parasync.server import serve_stdio; from parasync.transport import pipe; "
        "stream = pipe.standard_stream('x'); print('stray', flush=True); stream.send(b'word'); stream.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"word", b"stray\n")


@pytest.mark.parametrize(
    "extra",
    [["--listen", "127.0.0.1:0"], ["--module", "m=/"], ["--insecure"], []],
    ids=["listen", "module", "insecure", "tty"],
)
def test_it_serves_neither_networks_nor_people(extra: list[str]) -> None:
    leader, follower = os.openpty()
    done = serve("--stdio", *extra, stdin=follower)
    os.close(leader)
    os.close(follower)
    assert (done.returncode, done.stdout) == (1, b"")
    assert "--stdio" in one_error(done.stderr.decode())
