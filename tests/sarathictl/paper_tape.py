"""A recording of the engine on paper: eight streams, and a prompt every four seconds that freezes them."""

import msgspec

from sarathictl.state.engine_log import EngineLog
from sarathid.protocol.control import RequestState
from sarathid.protocol.stats import EngineSettings, RequestArrival
from sarathid.tape.tape import Tape, TapeHeader
from tests.sarathictl.records import START_S, PaperEngine, make_request_status, make_settings, make_snapshot
from tests.sarathictl.tui.bench import changed

CLIENT = "web-7"
WALL_OFFSET_S = 1_699_999_000.0
NUM_SECONDS = 12.0


def idle_tape() -> Tape:
    """Return what a console would have recorded of an engine without a request."""
    log, settings = EngineLog(), make_settings(1024)
    log.take(make_snapshot(settings), START_S)
    log.take(changed(settings), START_S)
    log.seal()
    return Tape(TapeHeader.now(WALL_OFFSET_S), log.frames)


def make_tape(
    num_seconds: float = NUM_SECONDS, *, settings: EngineSettings | None = None, start_s: float = START_S
) -> Tape:
    """Return what a console would have recorded of it, on a monotonic clock that shows `start_s` when it begins."""
    log, settings = EngineLog(), settings or make_settings(1024)
    log.take(make_snapshot(settings, requests=(make_request_status(3, RequestState.DECODE),)), start_s)
    log.take(msgspec.structs.replace(changed(settings), time_s=start_s), start_s)
    log.take(
        RequestArrival(request_id=9, client=CLIENT, arrival_s=start_s + 1.0, num_prompt_tokens=2000, max_tokens=30),
        start_s + 1.0,
    )
    for record in PaperEngine(settings, start_s=start_s).run(start_s + num_seconds):
        log.take(record, start_s)
    log.seal()
    return Tape(TapeHeader.now(WALL_OFFSET_S + START_S - start_s), log.frames)
