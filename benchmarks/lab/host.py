"""Processes of one host, and what they used: CPU seconds and peak memory, all processes of the host together."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from benchmarks.errors import BenchmarkError
from benchmarks.lab.network import Role
from benchmarks.lab.system import environment

CGROUPS = (Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup"))
"""Version 1 has a hierarchy for this alone; version 2 has one for everything."""
SAMPLE_SECONDS = 0.03
START_SECONDS = 20.0
_LISTENS = "0A"
"""TCP_LISTEN in /proc/net/tcp."""
_INTO_GROUP = 'echo $$ > "$1" && shift && exec "$@"'


class Host:
    """A control group whose processes run in a host's namespace."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.largest = 0
        self.peak = 0
        root = next((root for root in CGROUPS if (root / "cgroup.procs").exists()), None)
        if root is None:
            raise BenchmarkError("no control groups below /sys/fs/cgroup: CPU seconds cannot be counted")
        self._group = root / f"parasync-lab-{role}"
        self._group.mkdir(exist_ok=True)

    def __enter__(self) -> Host:
        self.kill()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        with suppress(OSError):
            self._group.rmdir()

    def start(self, argv: Sequence[str], errors: BinaryIO) -> subprocess.Popen[bytes]:
        """Run a program on this host, in its group from the first instruction on."""
        group = str(self._group / "cgroup.procs")
        return subprocess.Popen(
            ["sh", "-c", _INTO_GROUP, "sh", group, *self.role.command(*argv)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment(),
        )

    def cpu_seconds(self) -> float:
        """Of all processes that ever were in the group."""
        nanoseconds = self._group / "cpuacct.usage"
        if nanoseconds.exists():
            return int(nanoseconds.read_text()) / 1e9
        fields = dict(line.split() for line in (self._group / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) / 1e6

    def forget_peaks(self) -> None:
        self.peak = self.largest = 0

    def sample(self) -> None:
        """Look at the memory now: the sum over the processes, and the largest peak of one of them, in bytes."""
        total = 0
        for pid in self._processes():
            with suppress(OSError, KeyError):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                status = dict(line.split(":", 1) for line in lines)
                total += _kib(status["VmRSS"])
                self.largest = max(self.largest, _kib(status["VmHWM"]))
        self.peak = max(self.peak, total, self.largest)

    def kill(self) -> None:
        """End all processes of the group, politely first.

        Raises:
            BenchmarkError: one cannot be ended.
        """
        for attempt in range(100):
            left = self._processes()
            if not left:
                return
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if attempt > 40 else signal.SIGTERM)
            time.sleep(0.05)
        raise BenchmarkError(f"processes {left} on the {self.role} do not end")

    def _processes(self) -> list[int]:
        return [int(pid) for pid in (self._group / "cgroup.procs").read_text().split()]


def machine_cpu_seconds() -> float:
    """Of everything on this machine since it started: programs, kernel, interrupts, and time stolen by a hypervisor."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _kib(text: str) -> int:
    return int(text.split(maxsplit=1)[0]) * 1024


@contextmanager
def watched(*hosts: Host) -> Iterator[None]:
    """Sample the hosts' memory all the while, and once more at the end."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            for host in hosts:
                host.sample()

    for host in hosts:
        host.forget_peaks()
    thread = threading.Thread(target=watch, name="memory")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for host in hosts:
            host.sample()


def wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait for a TCP port of the process' namespace, without touching it: some tools serve one connection only.

    Raises:
        BenchmarkError: the process ended, or does not listen in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchmarkError(f"the server on port {port} ended at once with exit code {process.returncode}")
        if _listens(process.pid, port):
            return
        time.sleep(0.01)
    raise BenchmarkError(f"no server on port {port} after {START_SECONDS:.0f} s")


def _listens(pid: int, port: int) -> bool:
    with suppress(OSError):
        if os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            return False  # not in its namespace yet: another program may listen on this port out here
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    return True
    return False


def wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Exit code, None after a timeout. `Popen.wait(timeout)` would poll, and round times up to 50 ms."""
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(max(seconds, 0), end)
    timer.start()
    code = process.wait()
    timer.cancel()
    return None if late.is_set() else code
