"""A recording as a scenario: the requests that came, on the devices that served them."""

from dataclasses import dataclass

from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.errors import ConfigError
from sarathid.protocol.control import MAX_PLAN_S
from sarathid.protocol.stats import (
    EngineInfo,
    EngineSettings,
    IterationStats,
    RequestArrival,
    RequestStats,
    StreamRecord,
)
from sarathid.server.scenario import Scenario
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.request_table import RequestTable
from sarathid.tape.tape import Tape
from sarathid.telemetry.past_requests import PastRequest
from sarathid.telemetry.recent_load import RecentLoad


@dataclass(frozen=True, slots=True)
class Recorded:
    """The engine that a recording ends with, and the last minutes of its load; `start_s` is when the replay begins."""

    engine: EngineInfo
    scenario: Scenario


def read_load(tape: Tape, profile_name: str | None) -> Recorded:
    """Return the last `MAX_PLAN_S` seconds of a recording, on a cost profile, by default the one that it names.

    Of several engines the last one's. Raises `ConfigError` when nothing in it can be replayed.
    """
    load: _EngineLoad | None = None
    for segment in tape.segments():
        key = segment.key
        if key.info is not None and key.settings is not None:
            if load is None or load.engine.engine_pid != key.info.engine_pid:
                load = _EngineLoad(key.info, key.settings, key, profile_name)
            load.look(key)
        if load is not None:
            for record in segment.records:
                load.observe(record)
    if load is None:
        raise ConfigError("the recording does not say which engine it is of, so nothing can be replayed")
    return Recorded(load.engine, load.scenario())


class _EngineLoad:
    """Folds the records of one engine."""

    def __init__(self, engine: EngineInfo, settings: EngineSettings, key: KeyFrame, profile_name: str | None) -> None:
        self.engine = engine
        self._profile_name = profile_name or engine.cost_profile
        if not self._profile_name:
            raise ConfigError(
                f"the recording names no cost profile of {engine.model} on {engine.device}; name one: --profile"
            )
        self._load = RecentLoad()
        self._load.begin(IterationCostModel(find_profile(self._profile_name)), settings, key.time_s)
        for row in key.requests:
            self._load.follow(row.request_id, row.num_computed_tokens)
        self._requests = RequestTable()
        self._end_s = key.time_s

    def look(self, key: KeyFrame) -> None:
        """Go by the requests that a key frame lists."""
        self._requests = RequestTable(key.requests)
        self._end_s = max(self._end_s, key.time_s)

    def observe(self, record: StreamRecord) -> None:
        """Take a record in."""
        self._load.observe(record)
        match record:
            case IterationStats():
                self._requests.fold(record)
                self._end_s = max(self._end_s, record.end_s)
            case RequestArrival():
                self._requests.arrive(record)
            case RequestStats():
                self._requests.drop(record.request_id)

    def scenario(self) -> Scenario:
        """Return the last minutes, to be replayed."""
        span = self._load.span(MAX_PLAN_S, self._end_s)
        if span is None:
            raise ConfigError("no request got a token in the recording, so there is nothing to replay")
        return Scenario.of(self._profile_name, self.engine, span, self._in_flight())

    def _in_flight(self) -> list[PastRequest]:
        return [
            PastRequest.unfinished(
                arrival_s=row.arrival_s,
                ttft_s=row.ttft_s,
                num_prompt_tokens=row.num_prompt_tokens,
                num_cached_tokens=0,
                max_tokens=row.max_tokens,
                max_model_len=self.engine.max_model_len,
            )
            for row in self._requests.rows
            if row.arrival_s is not None and row.num_prompt_tokens is not None
        ]
