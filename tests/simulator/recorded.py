"""A simulated run as a recording in memory."""

import io
from collections.abc import Sequence

from sarathid.costmodel.library import find_profile
from sarathid.engine.core import EngineCore
from sarathid.protocol.stats import EngineInfo
from sarathid.protocol.step import StepOutput
from sarathid.simulator.recording import SimulatedRecording
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate
from sarathid.simulator.step_records import StepRecords
from sarathid.simulator.timed_change import TimedChange
from sarathid.simulator.window import Window
from sarathid.tape.tape import Tape
from sarathid.workload import PlannedRequest

PROFILE = "a100/yi-34b-tp2"
WALL_START_S = 1_700_000_000.0


def recorded(
    requests: Sequence[PlannedRequest], serving: Serving, until_s: float, changes: Sequence[TimedChange] = ()
) -> Tape:
    """Return the recording of the first `until_s` seconds."""
    file = io.BytesIO()
    recordings: list[tuple[SimulatedRecording, StepRecords]] = []

    def begin(core: EngineCore, engine: EngineInfo) -> None:
        recording = SimulatedRecording(file, WALL_START_S, engine, lambda: core.settings)
        recordings.append((recording, StepRecords(requests, core, engine)))

    def write(output: StepOutput) -> None:
        ((recording, records),) = recordings
        for record in records.of(output):
            recording.add(record)

    simulate(
        find_profile(PROFILE),
        serving,
        requests,
        changes=changes,
        window=Window(0.0, until_s),
        on_start=begin,
        on_step=write,
    )
    ((recording, _),) = recordings
    recording.close()
    return Tape.of(file.getvalue(), "simulated")
