"""A daemon that tells of its iterations in every other window: `python -m tests.bench.muted sarathid serve ...`.

In the windows between its engine records nothing and says nothing but tokens, so that nothing is folded, published or
written either. What that saves is what telemetry costs; both processes know the windows by the clock.
"""

import sys
import time
from typing import Any
from unittest.mock import patch

import msgspec

from sarathid.cli import main
from sarathid.engine.link import DaemonLink
from sarathid.engine.process import main as serve_as_engine
from sarathid.protocol.stats import IterationScheduled
from sarathid.protocol.step import EngineMessage, StepOutput
from sarathid.supervisor import EngineSupervisor
from sarathid.telemetry.flight_recorder import FlightRecorder
from sarathid.telemetry.recorder import Recorded, StatsRecorder

WINDOW_S = 2.0

_ENGINE = "--as-engine"


def is_muted(now_s: float) -> bool:
    """Whether nothing is told at a moment of the monotonic clock."""
    return int(now_s / WINDOW_S) % 2 == 1


def mute_engine() -> None:
    """Have the engine of this process send no records, and take the one before for each that it needs itself."""
    send_told, record_told, latest, is_untold = DaemonLink.send, StatsRecorder.record, None, False

    def record(recorder: StatsRecorder, *what: Any) -> Recorded:
        nonlocal latest
        if latest is None or latest.finished or not is_untold:
            latest = record_told(recorder, *what)
        return latest

    def send(link: DaemonLink, message: EngineMessage) -> None:
        nonlocal is_untold
        if isinstance(message, IterationScheduled):
            is_untold = is_muted(time.monotonic())
        if is_untold and isinstance(message, StepOutput):
            message = msgspec.structs.replace(message, stats=None)
        if not (is_untold and isinstance(message, IterationScheduled)):
            send_told(link, message)

    patch.object(StatsRecorder, "record", record).start()
    patch.object(DaemonLink, "send", send).start()


def mute_daemon() -> None:
    """Have the daemon of this process start such an engine, and keep its recording to the other windows."""
    flush, begin = FlightRecorder.flush, EngineSupervisor.__init__

    def begin_with_muted(supervisor: EngineSupervisor, *what: Any, **settings: Any) -> None:
        begin(supervisor, *what, **settings, command=(sys.executable, "-m", "tests.bench.muted", _ENGINE))

    async def flush_unless_muted(recorder: FlightRecorder) -> None:
        if not is_muted(time.monotonic()):
            await flush(recorder)

    patch.object(EngineSupervisor, "__init__", begin_with_muted).start()
    patch.object(FlightRecorder, "flush", flush_unless_muted).start()


if __name__ == "__main__":
    del sys.argv[0]
    if sys.argv[0] == _ENGINE:
        mute_engine()
        sys.exit(serve_as_engine())
    mute_daemon()
    main()
