"""A whole file over one TCP connection, in plain Python: what a copy costs without any thought.

rawtcp.py receive PORT FILE | rawtcp.py send HOST PORT FILE [sendfile]
"""

from __future__ import annotations

import io
import os
import socket
import sys

BUFFER = 1 << 20


def receive(port: int, path: str) -> None:
    """Serve one connection: write what comes beside `path`, rename it, answer with the number of bytes."""
    buffer = memoryview(bytearray(BUFFER))
    total = 0
    with socket.create_server(("", port)) as server:
        connection, _ = server.accept()
    with connection, open(path + ".part", "wb", buffering=0) as out:
        while count := connection.recv_into(buffer):
            written = 0
            while written < count:
                written += out.write(buffer[written:count])
            total += count
        os.rename(path + ".part", path)
        connection.sendall(total.to_bytes(8, "big"))


def send(host: str, port: int, path: str, *, kernel: bool) -> None:
    """Send a file, by sendfile(2) or through a buffer, and wait until the receiver says how much it has."""
    with socket.create_connection((host, port)) as connection, open(path, "rb", buffering=0) as file:
        sent = connection.sendfile(file) if kernel else _send_through_buffer(connection, file)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(8, socket.MSG_WAITALL)
    if len(answer) != 8 or int.from_bytes(answer, "big") != sent:
        raise SystemExit(f"rawtcp: the receiver does not have the {sent} bytes that were sent")


def _send_through_buffer(connection: socket.socket, file: io.FileIO) -> int:
    buffer = memoryview(bytearray(BUFFER))
    total = 0
    while count := file.readinto(buffer):
        connection.sendall(buffer[:count])
        total += count
    return total


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["receive", port, path]:
            receive(int(port), path)
        case ["send", host, port, path, *how]:
            send(host, int(port), path, kernel=how == ["sendfile"])
        case _:
            raise SystemExit(__doc__)
