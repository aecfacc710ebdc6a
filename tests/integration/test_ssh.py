"""HOST:PATH: whole runs through a real sshd, and what is said when there is none, or no ParaSync behind it.

What does not depend on ssh itself goes through a stand-in for it, a script that runs the command here.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from cli_support import COMMAND, events, one_error, read_terminal
from parasync.api import sync
from parasync.errors import ConnectDeadlineError, UsageError
from parasync.model import Event, Monitor
from parasync.options import Options
from parasync.transport import ssh
from support import leftovers, make_tree, snapshot

PARASYNC = " ".join(COMMAND)
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PRIVILEGE_SEPARATION = Path("/run/sshd")
CUT = 3_000_000


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real sshd on loopback with keys of its own; yields the --rsh that reaches it as this user."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("needs sshd and ssh: apt-get install openssh-server openssh-client")
    home = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    port = free_port()
    (home / "known").write_text(f"[127.0.0.1]:{port} {(home / 'host.pub').read_text()}")
    (home / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {home}/host\nAuthorizedKeysFile {home}/user.pub\n"
        "UsePAM no\nStrictModes no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
    )
    with ExitStack() as stack:
        if os.geteuid() == 0 and not PRIVILEGE_SEPARATION.exists():
            PRIVILEGE_SEPARATION.mkdir(mode=0o755)
            stack.callback(PRIVILEGE_SEPARATION.rmdir)
        server = subprocess.Popen([SSHD, "-D", "-f", home / "config", "-E", home / "log"])
        stack.callback(server.wait)
        stack.callback(server.terminate)
        rsh = (
            f"ssh -F /dev/null -p {port} -i {home}/user -o IdentitiesOnly=yes -o BatchMode=yes "
            f"-o UserKnownHostsFile={home}/known -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes"
        )
        for _ in range(100):
            if subprocess.run([*rsh.split(), "127.0.0.1", "true"], capture_output=True, check=False).returncode == 0:
                break
            assert server.poll() is None, (home / "log").read_text()
            time.sleep(0.1)
        else:
            pytest.fail((home / "log").read_text())
        yield rsh


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """The home directory on the other side."""
    (tmp_path / "far").mkdir()
    return tmp_path / "far"


Script = Callable[[str], str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Makes a program of lines of sh; returns its path."""

    def write(lines: str) -> str:
        path = tmp_path / f"script{len(list(tmp_path.glob('script*')))}"
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture
def stand_in(script: Script, far: Path) -> str:
    """A remote shell that runs the command here, in `far`, as ssh would have sh read it there."""
    return script(f'shift; cd {far} && exec sh -c "$*"')


def run(
    rsh: str, *args: bytes | str | Path, remote_path: str = PARASYNC, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, "sync", "-e", rsh, "--remote-path", remote_path, *args],
        capture_output=True,
        check=False,
        timeout=60,
        cwd=cwd,
    )


def said(done: subprocess.CompletedProcess[bytes], code: int) -> str:
    """What the failed run says itself, in its last line."""
    assert done.returncode == code, done.stderr.decode()
    return one_error(done.stderr.decode().splitlines()[-1])


# -- through a real sshd --------------------------------------------------------------------


@pytest.mark.parametrize("way", ["push", "pull"])
def test_a_tree_arrives_and_a_change_costs_little(sshd: str, tmp_path: Path, way: str) -> None:
    make_tree(tmp_path / "tree")
    user = getpass.getuser()
    source, destination = f"{tmp_path}/tree/", f"{tmp_path}/copy"
    if way == "push":
        destination = f"{user}@127.0.0.1:{destination}"
    else:
        source = f"{user}@127.0.0.1:{source}"
    options = Options(rsh=sshd, remote_path=PARASYNC)
    heard: list[Event] = []
    first = sync(source, destination, options, Monitor(heard.append))
    assert first.status == "ok"
    assert snapshot(tmp_path / "tree") == snapshot(tmp_path / "copy")
    assert first.totals.bytes_sent > 0 < first.totals.bytes_received
    assert [event.name for event in heard].count("connected") == 1
    (tmp_path / "tree/large").chmod(0o600)
    with open(tmp_path / "tree/large", "r+b") as file:
        file.seek(1_500_000)
        file.write(b"changed")
    second = sync(source, destination, options)
    assert snapshot(tmp_path / "tree") == snapshot(tmp_path / "copy")
    assert second.totals.files_sent == 1
    assert second.totals.bytes_sent + second.totals.bytes_received < 100_000
    assert leftovers(tmp_path) == []


def test_relative_paths_begin_where_the_remote_shell_does(sshd: str, tmp_path: Path, far: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    there = f"cd {far} && exec {PARASYNC}"
    assert run(sshd, tmp_path / "file", "127.0.0.1:made/", remote_path=there).returncode == 0
    assert run(sshd, tmp_path / "file", "127.0.0.1:", remote_path=there).returncode == 0
    assert (far / "made/file").read_bytes() == (far / "file").read_bytes() == b"content"
    assert run(sshd, "127.0.0.1:made", "127.0.0.1:./file", tmp_path / "back", remote_path=there).returncode == 0
    assert (tmp_path / "back/made/file").read_bytes() == (tmp_path / "back/file").read_bytes() == b"content"


def test_names_never_meet_a_shell(sshd: str, tmp_path: Path) -> None:
    names = [
        b"a b  c",
        b"$(touch pwned)`touch pwned`",
        b"; touch pwned; '\"\\",
        b"*?[a]~&|<>#!",
        b"line\nbreak",
        b"caf\xe9\xff",
    ]
    odd = b"".join(names)
    top = os.fsencode(tmp_path)
    os.mkdir(os.path.join(top, odd))
    for name in names:
        with open(os.path.join(top, name), "wb") as file:
            file.write(b"content of " + name)
    there = b"127.0.0.1:" + os.path.join(top, odd) + b"/"
    assert run(sshd, *[b"./" + name for name in names], there, cwd=tmp_path).returncode == 0
    assert run(sshd, *[there + name for name in names], b"back", cwd=tmp_path).returncode == 0
    for folder in (odd, b"back"):
        assert sorted(os.listdir(os.path.join(top, folder))) == sorted(names)
        for name in names:
            with open(os.path.join(top, folder, name), "rb") as file:
                assert file.read() == b"content of " + name


def test_a_missing_command_there(sshd: str, far: Path) -> None:
    done = run(sshd, __file__, f"127.0.0.1:{far}", remote_path="/nowhere/parasync")
    message = said(done, 5)
    assert "'/nowhere/parasync' was not found on 127.0.0.1" in message
    assert "pip install" in message
    assert "--remote-path" in message


def test_ssh_that_cannot_connect_speaks_for_itself(sshd: str, far: Path) -> None:
    done = run(f"ssh -F /dev/null -o BatchMode=yes -p {free_port()}", __file__, f"127.0.0.1:{far}")
    assert b"Connection refused" in done.stderr
    assert "no connection to 127.0.0.1" in said(done, 10)


def test_ssh_that_is_killed_leaves_nothing(sshd: str, script: Script, tmp_path: Path, far: Path) -> None:
    (tmp_path / "big").write_bytes(Random(1).randbytes(120_000_000))
    (far / "big").write_bytes(b"old")
    rsh = script(f'echo $$ > {tmp_path}/pid; exec {sshd} "$@"')
    args = [*COMMAND, "sync", "-W", "-e", rsh, "--remote-path", PARASYNC, "big", f"127.0.0.1:{far}/big"]
    with subprocess.Popen(args, stderr=subprocess.PIPE, cwd=tmp_path) as client:
        while not any(Path(path).stat().st_size for path in leftovers(far)):
            assert client.poll() is None
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        _, err = client.communicate(timeout=60)
    assert client.returncode == 10
    assert "127.0.0.1" in one_error(err.decode())
    for _ in range(200):  # the other side hears of it a little later
        if leftovers(far) == []:
            break
        time.sleep(0.05)
    assert os.listdir(far) == ["big"]
    assert (far / "big").read_bytes() == b"old"


# -- what a remote shell may do wrong -------------------------------------------------------


@pytest.mark.parametrize("way", ["push", "pull"])
def test_a_connection_cut_in_the_middle_leaves_nothing(script: Script, tmp_path: Path, far: Path, way: str) -> None:
    (tmp_path / "near").mkdir()
    source, destination = (tmp_path / "near", far) if way == "push" else (far, tmp_path / "near")
    (source / "big").write_bytes(Random(2).randbytes(3 * CUT))
    (destination / "big").write_bytes(b"old")
    cut = f"dd bs=64k count={CUT} iflag=count_bytes status=none"
    rsh = script(f'shift; {cut} | sh -c "$*"' if way == "push" else f'shift; sh -c "$*" | {cut}')
    sides = [str(source / "big"), str(destination / "big")]
    sides[way == "push"] = f"host:{sides[way == 'push']}"
    message = said(run(rsh, "-W", *sides), 10)
    assert "host" in message
    assert os.listdir(destination) == ["big"]
    assert (destination / "big").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("lines", "code", "hint"),
    [
        ("exit 127", 5, "--remote-path"),
        ("exit 255", 10, "the lines before this one say why"),
        ("exit 0", 5, "exit code 0 before it answered"),
        ("echo 'No such option: --stdio' >&2; exit 1", 5, "upgrade it there"),
        ("kill -9 $$", 10, "signal 9"),
        ("exec <&- >&-; sleep 0.3", 5, "exit code 0"),
        ("echo 'Welcome to host!'; exit 0", 12, "'Welcome to host!'"),
        ("printf hi; exit 0", 5, "exit code 0"),
    ],
)
def test_what_did_not_become_a_session_is_one_line_that_says_why(
    script: Script, tmp_path: Path, lines: str, code: int, hint: str
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for sides in (["file", "me@host:x"], ["me@host:x", "file"]):
        done = run(script(lines), *sides, cwd=tmp_path)
        message = said(done, code)
        assert hint in message
        assert "me@host" in message
        assert len(done.stderr.splitlines()) == 1 + (">&2" in lines)


@pytest.mark.parametrize("way", ["push", "pull"])
def test_a_noisy_shell_there_is_named(stand_in: str, tmp_path: Path, way: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    sides = ["file", "host:x"] if way == "push" else ["host:file", "y"]
    done = run(stand_in, *sides, remote_path=f"echo You have \\\x07 mail.; {PARASYNC}", cwd=tmp_path)
    message = said(done, 12)
    assert "host sent 'You have \\x07 mail.' before the protocol" in message
    assert f"'{stand_in} host true' must print nothing" in message


@pytest.mark.parametrize(("version", "where"), [(0, "there"), (2, "here")])
def test_another_version_there_says_which_side_to_upgrade(
    script: Script, tmp_path: Path, version: int, where: str
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    rsh = script(rf"printf 'ParaSync\{version}\0\0\0'; exec cat > /dev/null")
    assert f"upgrade parasync {where}" in said(run(rsh, "file", "host:x", cwd=tmp_path), 2)


def test_a_remote_shell_that_is_not_there(tmp_path: Path) -> None:
    message = said(run("/nowhere/ssh -x", __file__, f"host:{tmp_path}/x"), 5)
    assert "'/nowhere/ssh': No such file" in message
    assert "--rsh" in message


def test_the_failure_of_a_session_there_is_told_once(stand_in: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    done = run(stand_in, "folder/", "host:no/such/parent", cwd=tmp_path)
    assert "its parent directory does not exist" in one_error(done.stderr.decode())
    assert done.returncode == 11
    done = run(stand_in, "host:nothing", "here", cwd=tmp_path)
    assert "nothing" in one_error(done.stderr.decode())
    assert done.returncode == 23


@pytest.mark.parametrize("option", [{"rsh": ""}, {"rsh": "ssh 'x"}, {"remote_path": " "}])
def test_commands_that_cannot_be(tmp_path: Path, option: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="--r"):
        sync(__file__, f"host:{tmp_path}/x", Options(**option))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments", [["h:a", "h:b"], ["g:a", "h:a", "b"], ["a", "h:a", "b"], ["h:a", "parasync://h/m", "b"]]
)
def test_hosts_that_do_not_go_together(tmp_path: Path, arguments: list[str]) -> None:
    message = said(run("false", *arguments, cwd=tmp_path), 1)
    assert "run" in message


# -- time and signals -----------------------------------------------------------------------


def test_a_host_that_never_answers_meets_a_deadline(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "START_SECONDS", 0.2)
    monkeypatch.setattr(ssh, "LAST_WORDS_SECONDS", 0.1)
    with pytest.raises(ConnectDeadlineError, match=r"host did not answer within 0\.2 seconds"):
        sync(__file__, "host:x", Options(rsh=script("exec sleep 60")))


def test_somebody_may_take_longer_for_a_password_than_a_peer_may_be_silent(stand_in: str, tmp_path: Path) -> None:
    done = run(stand_in, "--timeout", "0.5", __file__, f"host:{tmp_path}/x", remote_path=f"sleep 1; {PARASYNC}")
    assert done.returncode == 0
    assert (tmp_path / "x").read_bytes() == Path(__file__).read_bytes()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_remote_shell_too(script: Script, tmp_path: Path, stop: signal.Signals) -> None:
    rsh = script(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    args = [*COMMAND, "sync", "--json", "-e", rsh, __file__, "host:x"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        while events(client.stdout.readline())[0]["event"] != "scanned":
            assert client.poll() is None
        client.send_signal(stop)
        out, err = client.communicate(timeout=60)
    assert client.returncode == 20, err
    assert stop.name in one_error(err)
    assert events(out)[-1]["status"] == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_no_bar_paints_over_questions(script: Script, tmp_path: Path) -> None:
    leader, follower = os.openpty()
    rsh = script("sleep 1; exit 255")
    args = [*COMMAND, "sync", "-e", rsh, __file__, "host:x"]
    environment = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(args, stdout=follower, stderr=follower, check=False, timeout=60, env=environment)
    os.close(follower)
    shown = read_terminal(leader)
    assert done.returncode == 10
    assert shown.startswith(b"parasync: no connection to host")
    assert b"\x1b" not in shown
