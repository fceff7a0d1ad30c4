"""A simulation in a process of its own, which takes little from the engine and ends in time."""

import asyncio
import contextlib
import os
import resource
import sys
from asyncio.subprocess import DEVNULL, PIPE

import msgspec

from sarathid.bound_process import VARIABLE
from sarathid.errors import ControlRefused
from sarathid.protocol.changes import Figures
from sarathid.protocol.control import ErrorCode
from sarathid.simulator.report import SimulationReport

MAX_S = 120
_NICENESS = 10  # a tenth of a core that the engine wants too; at 19 a replay under load would take minutes


async def simulate_window(arguments: tuple[str, ...], max_s: int = MAX_S) -> Figures:
    """Run `sarathid` with these arguments, which ask for a window in JSON, and return what it tells of that.

    Raises `ControlRefused` when it takes over `max_s` or fails; cancelled, it ends the process.
    """
    # In this session: where the system schedules sessions against each other, a nice process of another takes its half.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sarathid", *arguments),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=os.environ | {VARIABLE: str(os.getpid())},
    )
    _restrain(process.pid, max_s)
    try:
        async with asyncio.timeout(max_s):
            printed, words = await process.communicate()
    except TimeoutError:
        raise ControlRefused(
            ErrorCode.UNAVAILABLE,
            f"the replay took over {max_s} s and was stopped",
            "plan over a shorter time: --last 1m",
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last_words = words.decode(errors="replace").strip().rpartition("\n")[2]
        raise ControlRefused(ErrorCode.UNAVAILABLE, f"the replay ended with {process.returncode}: {last_words}")
    figures = msgspec.json.decode(printed, type=SimulationReport).window
    assert figures is not None, "a window was asked for"
    return figures


def _restrain(pid: int, max_s: int) -> None:
    """Let a process yield to others, and end it should it compute for longer."""
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, _NICENESS)
        resource.prlimit(pid, resource.RLIMIT_CPU, (max_s + 1, max_s + 1))
