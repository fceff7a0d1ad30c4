"""What the flight recorder costs: `python -m tests.bench.flight_recorder`.

Feeds it iterations of 64 decodes beside long prompts and prints, in CPU microseconds an iteration, what the daemon's
event loop spends on it and what its writing thread does, and the bytes that an hour at 50 iterations a second takes.
The engine process has no part in it.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from sarathid.clock import VirtualClock
from sarathid.protocol.stats import StreamRecord
from sarathid.tape.key_frame import KeyFrame, RequestRow, row_of
from sarathid.telemetry.flight_recorder import FlightRecorder
from sarathid.telemetry.tape_ring import TapeRing
from tests.sarathictl.records import START_S, PaperEngine, make_info, make_request_status, make_settings

NUM_STREAMS = 64
NUM_SECONDS = 120
ITERATIONS_PER_S = 50


def run(seconds: list[list[StreamRecord]], directory: Path) -> tuple[float, float, int]:
    """Return the seconds of CPU time on the loop and in all, and the bytes of the files."""
    ring = TapeRing(directory / "state" / "run" / "flight", 1 << 30, 1e9)
    clock = VirtualClock(START_S)
    rows = [make_request_status(number) for number in range(1, NUM_STREAMS + 1)]

    def describe(now_s: float) -> KeyFrame:
        requests: tuple[RequestRow, ...] = tuple(row_of(row, now_s, None) for row in rows)
        return KeyFrame(time_s=now_s, info=make_info(), settings=make_settings(), requests=requests)

    recorder = FlightRecorder(ring, describe, clock, wall_offset_s=0.0)

    async def record() -> float:
        on_loop_s = 0.0
        for number, records in enumerate(seconds, 1):
            began_s = time.thread_time()
            for told in records:
                recorder.observe(told)
            clock.wait_until(START_S + number)
            await recorder.flush()
            on_loop_s += time.thread_time() - began_s
        return on_loop_s

    began_s = time.process_time()
    on_loop_s = asyncio.run(record())
    return on_loop_s, time.process_time() - began_s, ring.num_bytes


def main() -> None:
    engine = PaperEngine(make_settings(512), num_streams=NUM_STREAMS, prompt_every_s=4.0)
    told = [list(engine.step()) for _ in range(NUM_SECONDS * ITERATIONS_PER_S)]
    seconds = [
        [record for step in told[start : start + ITERATIONS_PER_S] for record in step]
        for start in range(0, len(told), ITERATIONS_PER_S)
    ]
    with tempfile.TemporaryDirectory() as name:
        on_loop_s, in_all_s, num_bytes = run(seconds, Path(name))
    per_iteration = 1e6 / len(told)
    print(
        f"{NUM_STREAMS} decodes: {on_loop_s * per_iteration:.0f} us an iteration on the loop, "
        f"{(in_all_s - on_loop_s) * per_iteration:.0f} us in its thread; "
        f"{num_bytes / len(told):.0f} bytes, {num_bytes / NUM_SECONDS * 3600 / (1 << 20):.1f} MiB an hour"
    )


if __name__ == "__main__":
    main()
