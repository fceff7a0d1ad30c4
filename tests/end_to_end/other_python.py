"""Where programs are that are too large, or want too much, to be installed beside our own."""

import os
import subprocess
import sys

import pytest

PYTHONS = "SARATHID_TEST_PYTHONS"


def python_with(module: str) -> str:
    """Return the interpreter that can import a module: this one, or one that `SARATHID_TEST_PYTHONS` names.

    The variable holds paths, as `PATH` does. Where there is none, the test is skipped.
    """
    seek = f"import sys, importlib.util; sys.exit(importlib.util.find_spec({module!r}) is None)"
    for interpreter in (sys.executable, *filter(None, os.environ.get(PYTHONS, "").split(os.pathsep))):
        if subprocess.run([interpreter, "-c", seek], timeout=60).returncode == 0:
            return interpreter
    pytest.skip(f"{module} is not installed; {PYTHONS}=/path/to/venv/bin/python names one that has it")
