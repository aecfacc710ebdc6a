"""Two hosts, `sender` and `receiver`, as network namespaces on this machine, joined by a virtual cable.

The rate is tc's token bucket on both ends' way out. The delay is netem's where
the kernel has it, else that of nfdelay, a program beside this file that holds
packets in user space. Everything is undone by `down`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.errors import BenchmarkError
from benchmarks.lab.shape import Shape, describe
from benchmarks.lab.system import attempt, environment, require, require_root, run

STATE = Path("/run/parasync-lab")
DEVICE = "lab0"
QUEUE = 1
DELAY_SOURCE = Path(__file__).with_name("nfdelay.c")

BURST_SECONDS, LEAST_BURST = 0.001, 140_000
"""Bucket of the rate limit: at least two packets of segmentation offload."""
QUEUE_SECONDS, LEAST_QUEUE = 0.02, 4_000_000
PATH_OVERHEAD_US = 160.0
"""What the cable and a wake-up of nfdelay take by themselves, each way; measured with a delay of 1 us."""
SOCKET_BUFFERS = {
    "net.ipv4.tcp_rmem": "4096 8388608 67108864",
    "net.ipv4.tcp_wmem": "4096 65536 67108864",
    "net.ipv4.tcp_no_metrics_save": "1",
    "net.ipv6.conf.all.disable_ipv6": "1",
}


class Role(StrEnum):
    """The two hosts, named for what the measured tool does there."""

    SENDER = "sender"
    RECEIVER = "receiver"

    @property
    def address(self) -> str:
        return "198.18.0.1" if self is Role.SENDER else "198.18.0.2"

    @property
    def namespace(self) -> str:
        return f"psync-{self.value}"

    @property
    def other(self) -> Role:
        return Role.RECEIVER if self is Role.SENDER else Role.SENDER

    def command(self, *argv: str) -> list[str]:
        """`argv` on this host."""
        return ["ip", "netns", "exec", self.namespace, *argv]


class Counters(NamedTuple):
    """Bytes on the wire so far, headers included, and packets dropped."""

    to_receiver: int
    to_sender: int
    dropped: int


def up(congestion: str = "cubic") -> None:
    """Make both hosts and the cable, not shaped.

    Raises:
        BenchmarkError: not root, or something is not installed or not in the kernel.
    """
    require_root()
    require("ip", "tc", "sysctl")
    down()
    STATE.mkdir(parents=True)
    _allow(congestion)
    for role in Role:
        run("ip", "netns", "add", role.namespace)
        for name, value in {**SOCKET_BUFFERS, "net.ipv4.tcp_congestion_control": congestion}.items():
            run(*role.command("sysctl", "-qw", f"{name}={value}"))
    sender, receiver = (role.namespace for role in Role)
    run("ip", "link", "add", DEVICE, "netns", sender, "type", "veth", "peer", "name", DEVICE, "netns", receiver)
    for role in Role:
        run("ip", "-n", role.namespace, "addr", "add", f"{role.address}/30", "dev", DEVICE)
        for device in ("lo", DEVICE):
            run("ip", "-n", role.namespace, "link", "set", device, "up")
    _remember("not shaped")


def down() -> None:
    """Undo everything; what is not there is no error."""
    require_root()
    _stop_delay()
    for role in Role:
        if is_up(role):
            run("ip", "netns", "del", role.namespace)
    shutil.rmtree(STATE, ignore_errors=True)


def is_up(role: Role = Role.SENDER) -> bool:
    return Path("/run/netns", role.namespace).exists()


def require_up() -> None:
    """
    Raises:
        BenchmarkError: not root, or the hosts are not up.
    """
    require_root()
    if not all(is_up(role) for role in Role):
        raise BenchmarkError("the lab is not up: run `python -m benchmarks lab up` first")


def shape(wanted: Shape | None) -> str:
    """Make the link like `wanted`, None for no limits; returns what makes the delay.

    Raises:
        BenchmarkError: the hosts are not up, or a part of it failed.
    """
    require_up()
    _stop_delay()
    for role in Role:
        attempt(*role.command("tc", "qdisc", "del", "dev", DEVICE, "root"))
    kind = "none"
    if wanted is not None:
        rate = wanted.rate // 8
        burst = max(LEAST_BURST, int(rate * BURST_SECONDS))
        limit = max(LEAST_QUEUE, int(rate * QUEUE_SECONDS))
        for role in Role:
            _qdisc(role, "root", "handle", "1:", "tbf", f"rate {wanted.rate}bit burst {burst} limit {limit}")
        kind = "netem" if _has_netem() else "nfdelay"
        (_delay_by_netem if kind == "netem" else _delay_by_program)(wanted)
    _remember(f"{describe(wanted)}; delay by {kind}")
    return kind


def counters() -> Counters:
    """Bytes both ways: the token bucket's count, which knows every segment's headers; without one the device's."""
    require_up()
    sent = []
    dropped = 0
    for role in Role:
        queues: list[dict[str, Any]] = json.loads(run(*role.command("tc", "-s", "-j", "qdisc", "show", "dev", DEVICE)))
        device = json.loads(run("ip", "-n", role.namespace, "-s", "-j", "link", "show", DEVICE))[0]["stats64"]["tx"]
        bucket = [queue for queue in queues if queue.get("root") and queue["kind"] == "tbf"]
        sent.append(int(bucket[0]["bytes"] if bucket else device["bytes"]))
        dropped += device["dropped"] + sum(queue.get("drops", 0) for queue in queues)
    return Counters(sent[0], sent[1], dropped)


def current() -> str:
    """What the link is like now, for people."""
    require_up()
    return (STATE / "shape").read_text()


def check(seconds: int = 3) -> list[str]:
    """What the link really does: ping and iperf3 both ways, one line each."""
    require("ping", "iperf3")
    lines = [current()]
    ping = run(*Role.SENDER.command("ping", "-U", "-q", "-c", "20", "-i", "0.05", Role.RECEIVER.address))
    lines.append(ping.strip().splitlines()[-1])
    for role in Role:
        listen = role.other.command("iperf3", "-s", "-1")
        with subprocess.Popen(
            listen, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
        ) as server:
            time.sleep(0.5)
            try:
                said = run(*role.command("iperf3", "-J", "-c", role.other.address, "-t", str(seconds)))
            finally:
                server.terminate()
        rate = json.loads(said)["end"]["sum_received"]["bits_per_second"]
        lines.append(f"{role} to {role.other}: one stream {rate / 1e6:,.0f} Mbit/s")
    return lines


def _remember(what: str) -> None:
    (STATE / "shape").write_text(what)


def _allow(congestion: str) -> None:
    """A namespace may only use the algorithms that the host allows to all."""
    name = "net.ipv4.tcp_allowed_congestion_control"
    allowed = run("sysctl", "-n", name).split()
    if congestion not in allowed:
        run("sysctl", "-qw", f"{name}={' '.join([*allowed, congestion])}")


def _qdisc(role: Role, *argv: str) -> None:
    words = [word for part in argv for word in part.split()]
    run(*role.command("tc", "qdisc", "add", "dev", DEVICE, *words))


def _has_netem() -> bool:
    role = Role.SENDER
    found = attempt(*role.command("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")).returncode == 0
    if found:
        run(*role.command("tc", "qdisc", "del", "dev", "lo", "root"))
    return found


def _delay_by_netem(wanted: Shape) -> None:
    for role in Role:
        loss = f"loss {wanted.loss}%" if wanted.loss else ""
        _qdisc(role, "parent", "1:1", "handle", "10:", f"netem delay {wanted.rtt_us / 2:.0f}us limit 200000 {loss}")


def _delay_by_program(wanted: Shape) -> None:
    program = _build_delay()
    one_way = max(1.0, wanted.rtt_us / 2 - PATH_OVERHEAD_US)
    for role in Role:
        with (STATE / f"delay-{role}.log").open("wb") as log:
            process = subprocess.Popen(
                role.command(str(program), str(QUEUE), str(one_way), str(wanted.loss)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment(),
            )
        (STATE / f"delay-{role}.pid").write_text(str(process.pid))
        time.sleep(0.2)
        if process.poll() is not None:
            said = (STATE / f"delay-{role}.log").read_text().strip()
            raise BenchmarkError(f"the delay program did not start: {said}; the kernel needs netem or NFQUEUE")
        run(*role.command(*_iptables(), "-A", "INPUT", "-i", DEVICE, "-j", "NFQUEUE", "--queue-num", str(QUEUE)))


def _build_delay() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parasync-benchmarks"
    program = cache / "nfdelay"
    if not program.exists() or program.stat().st_mtime < DELAY_SOURCE.stat().st_mtime:
        cache.mkdir(parents=True, exist_ok=True)
        run(os.environ.get("CC", "cc"), "-O2", "-Wall", "-o", program, DELAY_SOURCE)
    return program


def _iptables() -> list[str]:
    name = "iptables-legacy" if shutil.which("iptables-legacy", path=environment()["PATH"]) else "iptables"
    return [name, "-t", "mangle"]


def _stop_delay() -> None:
    for file in STATE.glob("delay-*.pid"):
        pid = int(file.read_text())
        if _runs_delay(pid):
            os.kill(pid, signal.SIGTERM)
            for _ in range(100):
                if not _runs_delay(pid):
                    break
                time.sleep(0.02)
        file.unlink()
        role = Role(file.stem.removeprefix("delay-"))
        if is_up(role):
            attempt(*role.command(*_iptables(), "-F", "INPUT"))


def _runs_delay(pid: int) -> bool:
    """A number read from a file may belong to another process by now; one that ended but was not waited for is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "Name:\tnfdelay\n" in status and "State:\tZ" not in status
