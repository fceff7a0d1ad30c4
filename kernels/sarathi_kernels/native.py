"""Compiles the package's C++ source for this very processor, once, and loads it beside torch's OpenMP."""

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path

# No -ffast-math: a NaN must come out as one, and sums keep their order.
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fPIC")
_COMPILERS = ("g++", "c++")
_COMPILE_TIMEOUT_S = 120.0
_OPENMP_RUNTIME = re.compile(r"/\S*/lib(?:gomp|iomp5|omp)\S*\.so\S*")


class NativeUnavailable(Exception):
    """There is no compiler, it failed, or what it made can't be loaded; the message says which."""


def load(source_name: str, directory: Path) -> ctypes.CDLL:
    """Return the library of one C++ source of this package, compiled into `directory` if it is not there.

    `directory` must be private to the user: what lies in it is run. Raises `NativeUnavailable`.
    """
    package = Path(str(files("sarathi_kernels")))
    source = package / source_name
    compiler = _find_compiler()
    target = directory / f"{source.stem}-{_key(source, compiler)}.so"
    if not target.exists():
        _compile(source, compiler, target)
    _share_openmp_runtime()
    try:
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise NativeUnavailable(f"{target} can't be loaded: {error}") from error


def _find_compiler() -> str:
    for name in _COMPILERS:
        if (path := shutil.which(name)) is not None:
            return path
    raise NativeUnavailable(f"no C++ compiler ({' or '.join(_COMPILERS)}) is installed")


def _key(source: Path, compiler: str) -> str:
    """Return what the compiled code depends on, hashed: source, headers, flags, compiler and processor."""
    processor = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    stable = [line for line in processor.splitlines() if line.startswith(("model name", "flags", "Features", "CPU "))]
    code = [path.read_text(encoding="utf-8") for path in (source, *sorted(source.parent.glob("*.h")))]
    parts = [*code, *_FLAGS, _version(compiler), platform.machine(), *stable]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _version(compiler: str) -> str:
    return _run([compiler, "-dumpfullversion", "-dumpmachine"])


def _compile(source: Path, compiler: str, target: Path) -> None:
    """Compile and link to `target`, which appears whole or not at all.

    OpenMP's runtime is not linked: its symbols are found in the one that torch has loaded, so that
    both share one pool of threads.
    """
    with tempfile.TemporaryDirectory(prefix="compile-", dir=target.parent) as scratch:
        compiled, linked = Path(scratch) / "kernel.o", Path(scratch) / "kernel.so"
        _run([compiler, *_FLAGS, "-fopenmp", "-c", str(source), "-o", str(compiled)])
        _run([compiler, "-shared", str(compiled), "-o", str(linked)])
        linked.replace(target)


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NativeUnavailable(f"{command[0]} did not run: {error}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NativeUnavailable(f"{command[0]} failed: {reason}")
    return done.stdout


def _share_openmp_runtime() -> None:
    """Make the symbols of the OpenMP runtime that torch has loaded visible to what is loaded next."""
    mapped = Path(f"/proc/{os.getpid()}/maps").read_text(encoding="utf-8")
    runtimes = sorted(set(_OPENMP_RUNTIME.findall(mapped)))
    if not runtimes:
        raise NativeUnavailable("torch has loaded no OpenMP runtime")
    ctypes.CDLL(runtimes[0], mode=ctypes.RTLD_GLOBAL)
