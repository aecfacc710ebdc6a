"""Which kernel runs, and who decides it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from parasync.errors import UsageError
from parasync.kernels import KERNEL_VARIABLE, active_kernel, cpu_features, select_kernel, usable_kernels

ROOT = Path(__file__).resolve().parents[2]


def in_new_process(code: str, kernel: str | None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != KERNEL_VARIABLE}
    if kernel is not None:
        environment[KERNEL_VARIABLE] = kernel
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_portable_is_always_there_and_the_first() -> None:
    assert usable_kernels()[0] == "portable"


def test_features_fit_the_kernels() -> None:
    assert ("avx512" in usable_kernels()) <= {"avx512bw", "gfni", "vpclmulqdq"}.issubset(cpu_features())
    assert ("neon" in usable_kernels()) <= {"asimd", "pmull"}.issubset(cpu_features())


def test_selecting_a_kernel(kernel: str) -> None:
    assert active_kernel() == kernel


@pytest.mark.parametrize("name", ["", "fastest", "PORTABLE", "portable "])
def test_an_unknown_kernel_is_refused(name: str) -> None:
    before = active_kernel()
    with pytest.raises(UsageError, match="use one of portable"):
        select_kernel(name)
    assert active_kernel() == before


def test_the_fastest_is_the_default() -> None:
    assert in_new_process("from parasync import kernels; print(kernels.active_kernel())", None) == usable_kernels()[-1]


@pytest.mark.parametrize("name", usable_kernels())
def test_the_environment_decides(name: str) -> None:
    code = "from parasync import kernels; kernels.fingerprint_key(bytes(16)); print(kernels._native.active_kernel())"
    assert in_new_process(code, name) == name


def test_a_selection_goes_before_the_environment() -> None:
    code = "from parasync import kernels; kernels.select_kernel('portable'); print(kernels.active_kernel())"
    assert in_new_process(code, "nonsense") == "portable"


@pytest.mark.parametrize("call", ["kernels.active_kernel()", "kernels.fingerprint_key(bytes(16))"])
def test_a_wrong_environment_is_an_error_each_time(call: str) -> None:
    code = f"""
from parasync import kernels
for _ in range(2):
    try:
        {call}
    except kernels.UsageError as error:
        print(error)
"""
    lines = in_new_process(code, "nonsense").splitlines()
    assert len(lines) == 2
    assert all(
        line.startswith(f"{KERNEL_VARIABLE} 'nonsense': there is no kernel nonsense; use one of") for line in lines
    )


def test_the_constants_are_what_the_generator_writes() -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "generate_constants.py", "--check"], check=True)
