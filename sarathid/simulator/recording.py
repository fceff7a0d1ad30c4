"""A simulated run as a recording, which the console plays like any other."""

from collections.abc import Callable
from typing import IO

from sarathid.protocol.control import DaemonState
from sarathid.protocol.stats import (
    EngineInfo,
    EngineSettings,
    IterationStats,
    RequestArrival,
    RequestStats,
    SettingsChanged,
    StallEvent,
    StreamRecord,
)
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.request_table import RequestTable
from sarathid.tape.segment import OpenSegment
from sarathid.tape.tape import TapeHeader

KEY_FRAME_EVERY_S = 1.0


class SimulatedRecording:
    """Writes records to a file, behind a key frame in every second of their own time.

    The run begins at 0 on its clock, and at `wall_start_s` in seconds since the epoch.
    """

    def __init__(
        self, file: IO[bytes], wall_start_s: float, engine: EngineInfo, settings: Callable[[], EngineSettings]
    ) -> None:
        """`settings()` tells what is in force now."""
        self._file = file
        self._engine = engine
        self._settings = settings
        self._known = settings()
        self._requests = RequestTable()
        self._newest: IterationStats | None = None
        file.write(TapeHeader.now(wall_start_s).frame(0.0).to_bytes())
        self._segment = OpenSegment(self._key_frame(0.0))

    def add(self, record: StreamRecord) -> None:
        """Take in the next record."""
        match record:
            case IterationStats():
                self._begin_segment_at(record.start_s)
                self._note_settings(record)
                self._newest = record
                self._requests.fold(record)
            case RequestArrival():
                self._begin_segment_at(record.arrival_s)
                self._requests.arrive(record)
            case StallEvent():
                self._requests.count_stalls(record)
            case RequestStats():
                self._requests.drop(record.request_id)
        self._segment.add(record)

    def close(self) -> None:
        """Write what is left."""
        if len(self._segment):
            self._file.write(self._segment.seal().to_bytes())

    def _begin_segment_at(self, time_s: float) -> None:
        if time_s - self._segment.start_s >= KEY_FRAME_EVERY_S:
            ended, self._segment = self._segment, self._segment.followed_by(self._key_frame(time_s))
            self._file.write(ended.seal().to_bytes())

    def _note_settings(self, record: IterationStats) -> None:
        settings = self._settings()
        if settings.revision != self._known.revision:
            self._known = settings
            self._segment.add(
                SettingsChanged(
                    time_s=record.start_s,
                    iteration=record.sequence_number,
                    revision=settings.revision,
                    token_budget=settings.token_budget,
                    policy=settings.policy,
                    slo=settings.slo,
                    budget_mode=settings.budget_mode,
                    is_target_set=settings.is_target_set,
                )
            )

    def _key_frame(self, time_s: float) -> KeyFrame:
        newest = self._newest
        return KeyFrame(
            time_s=time_s,
            daemon_state=DaemonState.READY,
            info=self._engine,
            settings=self._known,
            last_start_s=None if newest is None else newest.start_s,
            num_running=0 if newest is None else newest.num_running,
            num_waiting=0 if newest is None else newest.num_waiting,
            num_preempted=0 if newest is None else newest.num_preempted,
            num_blocks_used=0 if newest is None else newest.num_blocks_used,
            num_blocks_free=self._engine.num_blocks if newest is None else newest.num_blocks_free,
            requests=self._requests.rows,
        )
