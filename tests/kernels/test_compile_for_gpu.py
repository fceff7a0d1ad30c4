"""Our Triton kernels are machine code for GPUs, not only numpy's guess at it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.interpreter import HAS_TRITON

PROGRAM = Path(__file__).with_name("compile_for_gpu.py")


@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
@pytest.mark.parametrize("capability", [90, pytest.param(80, marks=pytest.mark.long)])
def test_every_kernel_compiles(capability: int) -> None:
    command = [sys.executable, str(PROGRAM), str(capability)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    sizes = dict(line.split() for line in done.stdout.splitlines())
    assert len(sizes) == 11 and all(int(size) > 0 for size in sizes.values())
