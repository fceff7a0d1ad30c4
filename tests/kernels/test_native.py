"""Compiling the kernels: once, into one OpenMP pool with torch, and refused in words."""

import os
import subprocess
from pathlib import Path

import pytest
from sarathi_kernels import native
from sarathi_kernels.native import NativeUnavailable


def test_a_source_is_compiled_once(tmp_path: Path) -> None:
    native.load("skinny_gemm.cpp", tmp_path)
    (library,) = tmp_path.iterdir()
    made_ns = library.stat().st_mtime_ns
    native.load("skinny_gemm.cpp", tmp_path)
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir()] == [made_ns]


@pytest.mark.parametrize("source", sorted(Path(native.__file__).parent.glob("*.cpp")), ids=lambda path: path.stem)
def test_sources_compile_without_a_warning(source: Path) -> None:
    command = ["g++", "-std=c++17", "-fopenmp", "-fsyntax-only", "-Wall", "-Wextra", "-Wno-psabi"]
    assert subprocess.run([*command, str(source)], capture_output=True, text=True, check=False).stderr == ""


def test_kernels_share_the_openmp_pool_of_torch(kernel_directory: Path) -> None:
    native.load("skinny_gemm.cpp", kernel_directory)
    mapped = Path(f"/proc/{os.getpid()}/maps").read_text(encoding="utf-8")
    assert len({line.split()[-1] for line in mapped.splitlines() if "libgomp" in line or "libiomp" in line}) == 1


def test_without_a_compiler_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NativeUnavailable, match="no C\\+\\+ compiler"):
        native.load("skinny_gemm.cpp", tmp_path)


def test_a_compiler_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho it is broken >&2\nexit 1\n", encoding="utf-8")
    compiler.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(NativeUnavailable, match="it is broken"):
        native.load("skinny_gemm.cpp", tmp_path)
