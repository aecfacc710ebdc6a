"""The kernels without Python: native/tests, built and run as `make native-test` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from parasync.kernels import usable_kernels

RUN = Path(__file__).resolve().parents[2] / "native" / "tests" / "run.py"
CANNOT_RUN = 2


@pytest.mark.native
def test_every_kernel_agrees_with_the_portable_one_and_the_frozen_chunks() -> None:
    done = subprocess.run([sys.executable, RUN], capture_output=True, text=True, check=False)
    if done.returncode == CANNOT_RUN:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == usable_kernels()
