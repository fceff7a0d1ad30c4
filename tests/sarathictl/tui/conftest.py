"""Runs the console's coroutine tests, each in an event loop of its own."""

import asyncio
import inspect
from pathlib import Path

import pytest

from tests.sarathictl.tui.bench import Bench


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
