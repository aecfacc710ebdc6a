"""librsync's rdiff over one TCP connection: signature from the receiver, delta from the sender, patch at the receiver.

rdiffnet.py serve PORT FILE | rdiffnet.py push HOST PORT FILE
"""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
from typing import IO

FRAME = struct.Struct("!I")
PIECE = 1 << 18
MAX_FRAME = 1 << 20


def send_all(source: IO[bytes], connection: socket.socket) -> None:
    """Everything that can be read from an unbuffered pipe, in frames with their length first; an empty one ends."""
    while piece := source.read(PIECE):
        connection.sendall(FRAME.pack(len(piece)) + piece)
    connection.sendall(FRAME.pack(0))


def receive_all(connection: socket.socket, out: IO[bytes]) -> None:
    """The other side of `send_all`; closes `out`."""
    with out:
        while length := FRAME.unpack(exactly(connection, FRAME.size))[0]:
            if length > MAX_FRAME:
                raise SystemExit(f"rdiffnet: a frame of {length} bytes")
            out.write(exactly(connection, length))


def exactly(connection: socket.socket, count: int) -> bytes:
    data = connection.recv(count, socket.MSG_WAITALL)
    if len(data) != count:
        raise SystemExit("rdiffnet: the connection was lost")
    return data


def serve(port: int, path: str) -> None:
    with socket.create_server(("", port)) as server:
        connection, _ = server.accept()
    with connection:
        with subprocess.Popen(["rdiff", "signature", path], stdout=subprocess.PIPE, bufsize=0) as signature:
            send_all(signature.stdout or io.BytesIO(), connection)
        with subprocess.Popen(["rdiff", "-f", "patch", path, "-", path + ".part"], stdin=subprocess.PIPE) as patch:
            receive_all(connection, patch.stdin or io.BytesIO())
        if patch.returncode == 0:
            os.rename(path + ".part", path)
        connection.sendall(bytes([patch.returncode & 255]))


def push(host: str, port: int, path: str) -> int:
    with socket.create_connection((host, port)) as connection:
        with open(path + ".sig", "wb") as signature:
            receive_all(connection, signature)
        with subprocess.Popen(["rdiff", "delta", path + ".sig", path], stdout=subprocess.PIPE, bufsize=0) as delta:
            send_all(delta.stdout or io.BytesIO(), connection)
        return delta.returncode or exactly(connection, 1)[0]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", port, path]:
            serve(int(port), path)
        case ["push", host, port, path]:
            sys.exit(push(host, int(port), path))
        case _:
            raise SystemExit(__doc__)
