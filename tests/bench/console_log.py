"""What an hour of records costs the console: `python -m tests.bench.console_log [MINUTES]`.

Feeds the log of `top` with 50 iterations a second of 64 decodes beside long prompts, whose times vary by a tenth, and
prints what a record costs and what the process, with Textual in it, holds at the end; then what it takes to open the
same hour as a recording and to see its middle.
"""

import gc
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from sarathictl.state.engine_log import EngineLog
from sarathid.protocol.stats import StallEvent
from sarathid.tape.tape import Tape, TapeHeader
from tests.sarathictl.records import START_S, PaperEngine, make_settings, make_snapshot

NUM_STREAMS = 64
PACE = 0.36  # an iteration of 64 decodes in 20 ms
_STATUS = Path("/proc/self/status")


def resident_mib() -> float:
    """Return what the process holds now."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def fill(log: EngineLog, minutes: float) -> tuple[int, float]:
    """Return how many records were taken in, and the CPU seconds that it took; making them does not count."""
    settings = make_settings(512)
    log.take(make_snapshot(settings), START_S)
    engine = PaperEngine(settings, num_streams=NUM_STREAMS, prompt_every_s=4.0, pace=PACE)
    random = Random(1)
    num_records, taken_s = 0, 0.0
    while engine.now_s < START_S + 60.0 * minutes:
        engine.pace = PACE * random.lognormvariate(0.0, 0.1)
        records = list(engine.step())
        began_s = time.process_time()
        for record in records:
            log.take(record, engine.now_s)
        log.pack()
        taken_s += time.process_time() - began_s
        num_records += len(records)
    return num_records, taken_s


def timed(act: Callable[[], object]) -> float:
    began_s = time.process_time()
    act()
    return time.process_time() - began_s


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    import textual.app  # noqa: F401 (as in `top`)

    before_mib = resident_mib()
    log = EngineLog()
    num_records, taken_s = fill(log, minutes)
    log.state.view(log.end_s)
    gc.collect()
    print(f"{minutes:g} minutes, {num_records} records: {taken_s / num_records * 1e6:.0f} us a record")
    print(f"resident {resident_mib():.1f} MiB, {resident_mib() - before_mib:.1f} of it the log")
    packed_mib = sum(len(frame.packed) for frame in log.frames) / (1 << 20)
    print(f"compressed {packed_mib:.1f} MiB in {len(log.frames)} segments")
    print(f"highest {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f} MiB")
    log.seal()
    tape = Tape(TapeHeader.now(0.0), list(log.frames))
    middle_s = START_S + 30.0 * minutes
    num_stalls = sum(isinstance(record, StallEvent) for segment in tape.segments() for record in segment.records)
    opened = EngineLog(tape.header.columns)
    print(f"opened in {timed(lambda: opened.open(tape.frames)):.3f} CPU s; its middle is seen in ", end="")
    print(f"{timed(lambda: opened.state_at(middle_s).view(middle_s)):.2f} CPU s, ", end="")
    print(f"all of it ({num_stalls} stalls) gone through in {timed(lambda: survey(opened)):.2f} CPU s")


def survey(log: EngineLog) -> None:
    for frame in log.frames:
        log.survey(frame)


if __name__ == "__main__":
    main()
