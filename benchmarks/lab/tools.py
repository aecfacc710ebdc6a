"""The tools that are compared: how each brings the sender's file or tree to the receiver."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.errors import BenchmarkError
from benchmarks.lab.network import Role

SENDER, RECEIVER = Role.SENDER, Role.RECEIVER
HERE = Path(__file__).parent


class Place(NamedTuple):
    """Where one transfer happens: a directory of each host, and whether trees are transferred instead of files."""

    sender: Path
    receiver: Path
    tree: bool = False

    @property
    def target(self) -> Path:
        """What the sender has."""
        return self.sender / "new"

    @property
    def basis(self) -> Path:
        """What the receiver has, to be made like the target."""
        return self.receiver / "file"

    def directory(self, role: Role) -> Path:
        return self.sender if role is SENDER else self.receiver


class Server(NamedTuple):
    """A program that is started, and listens on `port`, before the clock."""

    role: Role
    argv: list[str]
    port: int


class Step(NamedTuple):
    """A program that runs against the clock; one follows the other."""

    role: Role
    argv: list[str]


class Tool:
    """One way to bring `place.target` to `place.basis`."""

    commands: tuple[str, ...] = ()
    """What has to be installed."""
    trees = False
    ours = False

    def prepare(self, place: Place) -> None:
        """Whatever it needs besides, before the clock."""

    def servers(self, place: Place) -> list[Server]:
        return []

    def steps(self, place: Place) -> list[Step]:
        raise NotImplementedError

    def result(self, place: Place) -> Path:
        """Where the receiver has it afterwards."""
        return place.basis


class Rsync(Tool):
    """rsync against its daemon; every file is looked into, whatever its time."""

    commands = ("rsync",)
    trees = True
    port = 8730

    def __init__(self, *options: str, pull: bool = False) -> None:
        self._options = options
        self._server = SENDER if pull else RECEIVER

    def prepare(self, place: Place) -> None:
        root = place.directory(self._server)
        (root / "rsyncd.conf").write_text(
            f"use chroot = no\nuid = 0\ngid = 0\nport = {self.port}\nreverse lookup = no\n"
            f"log file = {root}/rsyncd.log\npid file = {root}/rsyncd.pid\n[data]\npath = {root}\nread only = no\n"
        )

    def servers(self, place: Place) -> list[Server]:
        configuration = place.directory(self._server) / "rsyncd.conf"
        return [Server(self._server, ["rsync", "--daemon", "--no-detach", f"--config={configuration}"], self.port)]

    def steps(self, place: Place) -> list[Step]:
        slash = "/" if place.tree else ""
        mode = ["-a"] if place.tree else []
        url = f"rsync://{self._server.address}:{self.port}/data"
        target, basis = (
            (f"{url}/new", str(place.basis)) if self._server is SENDER else (str(place.target), f"{url}/file")
        )
        command = ["rsync", "--ignore-times", *mode, *self._options, target + slash, basis + slash]
        return [Step(self._server.other, command)]


class ParaSync(Tool):
    """Ours, as it is installed beside this Python; every file is looked into, whatever its time."""

    trees = True
    ours = True
    port = 8740

    def __init__(self, *options: str, pull: bool = False) -> None:
        self._options = options
        self._server = SENDER if pull else RECEIVER

    def servers(self, place: Place) -> list[Server]:
        module = f"data={place.directory(self._server)}" + (":ro" if self._server is SENDER else "")
        argv = [
            parasync(),
            "serve",
            "--insecure",
            "--listen",
            f"{self._server.address}:{self.port}",
            "--module",
            module,
        ]
        return [Server(self._server, argv, self.port)]

    def steps(self, place: Place) -> list[Step]:
        slash = "/" if place.tree else ""
        url = f"parasync://{self._server.address}:{self.port}/data"
        target, basis = (
            (f"{url}/new", str(place.basis)) if self._server is SENDER else (str(place.target), f"{url}/file")
        )
        command = [parasync(), "sync", "--quiet", "--ignore-times", *self._options, target + slash, basis]
        return [Step(self._server.other, command)]


class Raw(Tool):
    """The whole file over one connection, in plain Python (rawtcp.py)."""

    port = 9000

    def __init__(self, *how: str) -> None:
        self._how = how

    def servers(self, place: Place) -> list[Server]:
        return [Server(RECEIVER, [*script("rawtcp.py"), "receive", str(self.port), str(place.basis)], self.port)]

    def steps(self, place: Place) -> list[Step]:
        return [
            Step(
                SENDER, [*script("rawtcp.py"), "send", RECEIVER.address, str(self.port), str(place.target), *self._how]
            )
        ]


class Rdiff(Tool):
    """librsync's rdiff, its three steps piped through one connection (rdiffnet.py)."""

    commands = ("rdiff",)
    port = 9001

    def servers(self, place: Place) -> list[Server]:
        return [Server(RECEIVER, [*script("rdiffnet.py"), "serve", str(self.port), str(place.basis)], self.port)]

    def steps(self, place: Place) -> list[Step]:
        return [Step(SENDER, [*script("rdiffnet.py"), "push", RECEIVER.address, str(self.port), str(place.target)])]


class _OverHttp(Tool):
    """The sender makes an index of its file and serves both over HTTP; the receiver fetches what it lacks."""

    port = 8080
    make: str
    fetch: str

    def prepare(self, place: Place) -> None:
        temporary = "".join(
            f"{module}_temp_path {place.sender}/temporary;"
            for module in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (place.sender / "nginx.conf").write_text(
            f"user root root; daemon off; worker_processes 1; pid {place.sender}/nginx.pid;"
            f"error_log {place.sender}/nginx.log; events {{}} http {{ access_log off; sendfile on; {temporary}"
            f"keepalive_requests 1000000; server {{ listen {self.port}; root {place.sender}; max_ranges 10000; }} }}"
        )

    def servers(self, place: Place) -> list[Server]:
        configuration = str(place.sender / "nginx.conf")
        return [Server(SENDER, ["nginx", "-c", configuration, "-e", f"{place.sender}/nginx.log"], self.port)]

    def steps(self, place: Place) -> list[Step]:
        url = f"http://{SENDER.address}:{self.port}"
        return [
            Step(SENDER, ["sh", "-c", f"cd {place.sender} && {self.make}"]),
            Step(RECEIVER, ["sh", "-c", f"cd {place.receiver} && {self.fetch.format(url=url)} && mv -f out file"]),
        ]


class Zsync(_OverHttp):
    """zsync: fixed blocks; the making of the control file counts, too."""

    commands = ("nginx", "zsync", "zsyncmake")
    make = "zsyncmake -u new new -o new.zsync"
    fetch = "zsync -q -i file -o out {url}/new.zsync"


class Casync(_OverHttp):
    """casync: content-defined chunks; the making of index and compressed chunk store counts, too."""

    commands = ("nginx", "casync")
    make = "casync make --store=store --compression=zstd new.caibx new"
    fetch = "casync extract --seed=file --seed-output=no --store={url}/store {url}/new.caibx out"


class Rclone(Tool):
    """rclone against its own WebDAV server: whole files."""

    commands = ("rclone",)
    trees = True
    port = 8081

    def servers(self, place: Place) -> list[Server]:
        address = f"{RECEIVER.address}:{self.port}"
        argv = ["rclone", "serve", "webdav", "--config", os.devnull, "--addr", address, str(place.receiver)]
        return [Server(RECEIVER, argv, self.port)]

    def steps(self, place: Place) -> list[Step]:
        verb = "copy" if place.tree else "copyto"
        remote = f":webdav,url='http://{RECEIVER.address}:{self.port}':file"
        return [
            Step(SENDER, ["rclone", verb, "--config", os.devnull, "--ignore-times", "-q", str(place.target), remote])
        ]


class Unison(Tool):
    """Unison over its own socket, told to take the sender's version, without an archive of earlier runs."""

    commands = ("unison",)
    port = 9002

    def prepare(self, place: Place) -> None:
        for directory in (place.sender, place.receiver):
            (directory / "archive").mkdir()
            (directory / "root").mkdir()
        place.basis.rename(self.result(place))
        os.link(place.target, place.sender / "root/file")

    def servers(self, place: Place) -> list[Server]:
        archive = f"UNISON={place.receiver}/archive"
        return [Server(RECEIVER, ["env", archive, "unison", "-socket", str(self.port)], self.port)]

    def steps(self, place: Place) -> list[Step]:
        ours, theirs = f"{place.sender}/root", f"socket://{RECEIVER.address}:{self.port}/{place.receiver}/root"
        quiet = ["-batch", "-silent", "-contactquietly", "-ignorearchives", "-confirmbigdel=false"]
        choice = ["-force", ours, "-perms", "0", "-copythreshold", "-1"]
        return [Step(SENDER, ["env", f"UNISON={place.sender}/archive", "unison", ours, theirs, *quiet, *choice])]

    def result(self, place: Place) -> Path:
        return place.receiver / "root/file"


TOOLS: dict[str, Callable[[], Tool]] = {
    "parasync": ParaSync,
    "parasync-pull": lambda: ParaSync(pull=True),
    "rsync": Rsync,
    "rsync-z": lambda: Rsync("-z"),
    "rsync-inplace": lambda: Rsync("--inplace", "--no-whole-file"),
    "rsync-whole": lambda: Rsync("--whole-file"),
    "rsync-pull": lambda: Rsync(pull=True),
    "rsync-z-pull": lambda: Rsync("-z", pull=True),
    "raw": Raw,
    "raw-sendfile": lambda: Raw("sendfile"),
    "rdiff": Rdiff,
    "zsync": Zsync,
    "casync": Casync,
    "rclone": Rclone,
    "unison": Unison,
}
DEFAULT_TOOLS = ("parasync", "parasync-pull", "rsync", "rsync-z", "rsync-inplace", "raw")


def make_tool(name: str) -> Tool:
    """
    Raises:
        BenchmarkError: there is no such tool.
    """
    if name not in TOOLS:
        raise BenchmarkError(f"tool {name!r}: use some of {', '.join(TOOLS)}")
    return TOOLS[name]()


def script(name: str) -> list[str]:
    """Command line of a script beside this file."""
    return [sys.executable, str(HERE / name)]


def parasync() -> str:
    """The command of the installation that this Python belongs to.

    Raises:
        BenchmarkError: there is none.
    """
    command = Path(sys.executable).with_name("parasync")
    if not command.exists() or not shutil.which(str(command)):
        raise BenchmarkError(f"{command} is not installed: run `make build`, then .venv/bin/python -m benchmarks")
    return str(command)
