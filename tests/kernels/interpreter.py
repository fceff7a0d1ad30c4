"""Triton's interpreter: kernels that are defined while it is on are run by numpy, on any machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

import pytest

HAS_TRITON = find_spec("triton") is not None


def _import_triton() -> None:
    if HAS_TRITON:
        import_module("triton")
        import_module("triton.experimental.gluon")  # which a first launch would import, too late


@contextmanager
def triton_interpreter() -> Iterator[Callable[[], None]]:
    """Turn it on, for imports alone: a daemon under test must not find the variable in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        yield _import_triton
