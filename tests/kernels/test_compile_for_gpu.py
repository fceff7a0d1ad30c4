"""Our Triton kernels are machine code for GPUs, not only numpy's guess at it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.interpreter import HAS_TRITON

PROGRAM = Path(__file__).with_name("compile_for_gpu.py")


SHARED_BYTES = {80: 163 << 10, 90: 227 << 10}  # that a block may have, by capability (CUDA C++ Programming Guide)


@pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float32", marks=pytest.mark.long)])
@pytest.mark.parametrize("capability", [90, pytest.param(80, marks=pytest.mark.long)])
def test_every_kernel_compiles_and_fits_into_shared_memory(capability: int, dtype: str) -> None:
    command = [sys.executable, str(PROGRAM), str(capability), dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found = {name: (int(code), int(shared)) for name, code, shared in map(str.split, done.stdout.splitlines())}
    assert len(found) == 11
    assert all(code > 0 and shared <= SHARED_BYTES[capability] for code, shared in found.values()), found
