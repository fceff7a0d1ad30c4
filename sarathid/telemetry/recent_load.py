"""What came in lately and how it was served: all that a replay needs, in bounded memory."""

import math
from array import array
from collections import deque
from dataclasses import dataclass, field

from sarathid.costmodel.correction import Regime
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.protocol.changes import Figures
from sarathid.protocol.control import MAX_PLAN_S
from sarathid.protocol.stats import EngineSettings, IterationStats, RequestStats, SettingsChanged, StreamRecord
from sarathid.telemetry.iteration_features import FeatureReader
from sarathid.telemetry.past_requests import PastRequest, PastRequests
from sarathid.telemetry.service_tally import ServiceTally

SLICE_S = 5.0
_MAX_REQUESTS = 1 << 15
_MAX_SETTINGS = 1 << 10
_MAX_FACTORS = 32  # of a regime in a slice


@dataclass(slots=True)
class SliceOfLoad:
    """The iterations that ended in `SLICE_S` seconds.

    `factors` are how many times the profile's time they took, by regime, of the first of each.
    """

    start_s: float
    tally: ServiceTally = field(default_factory=ServiceTally)
    factors: dict[Regime, "array[float]"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What happened from `start_s` to `end_s`, and since `known_since_s` as far as it may reach into that.

    `ended` are the requests that ended since then, `settings` those in force from a moment on, the first at least since
    `known_since_s`.
    """

    known_since_s: float
    start_s: float
    end_s: float
    slices: tuple[SliceOfLoad, ...]
    ended: tuple[PastRequest, ...]
    settings: tuple[tuple[float, EngineSettings], ...]

    @property
    def current(self) -> EngineSettings:
        """The settings in force at its end."""
        return self.settings[-1][1]

    @property
    def observed(self) -> Figures:
        """How requests were served; stalls by the target that is in force at its end."""
        tally = ServiceTally()
        for found in self.slices:
            tally.merge(found.tally)
        return tally.figures(self.end_s - self.start_s, self.current.slo.tbt_s)


class RecentLoad:
    """Folds the records of one engine after another; what an earlier one did is forgotten.

    Spans begin where a slice begins, so that what was observed and what is replayed are of the same seconds.
    """

    def __init__(self) -> None:
        self._slices: deque[SliceOfLoad] = deque(maxlen=math.ceil(MAX_PLAN_S / SLICE_S) + 1)
        self._ended = PastRequests(_MAX_REQUESTS)
        self._settings: deque[tuple[float, EngineSettings]] = deque(maxlen=_MAX_SETTINGS)
        self._cost_model: IterationCostModel | None = None
        self._features = FeatureReader()
        self._since_s = 0.0

    def begin(self, cost_model: IterationCostModel | None, settings: EngineSettings, now_s: float) -> None:
        """Start with a new engine, which has these settings and predicts with that profile, if there is one."""
        self._slices.clear()
        self._ended.clear()
        self._settings.clear()
        self._settings.append((now_s, settings))
        self._cost_model = cost_model
        self._features = FeatureReader()
        self._since_s = now_s

    def follow(self, request_id: int, num_tokens: int) -> None:
        """Take note of a request of so many tokens that runs already."""
        self._features.follow(request_id, num_tokens)

    def observe(self, record: StreamRecord) -> None:
        """Take a record in."""
        match record:
            case IterationStats():
                self._observe_iteration(record)
            case RequestStats():
                self._end(record)
            case SettingsChanged():
                self._settings.append((record.time_s, record.settings))

    def span(self, last_s: float, now_s: float) -> Span | None:
        """Return what happened in the last seconds, at most `last_s`; None without a token in them."""
        start_s = self._start_of_slice(max(now_s - min(last_s, MAX_PLAN_S), self._known_since_s()))
        slices = tuple(found for found in self._slices if found.start_s >= start_s)
        if not any(found.tally.num_tokens for found in slices):
            return None
        return Span(
            known_since_s=self._known_since_s(),
            start_s=start_s,
            end_s=now_s,
            slices=slices,
            ended=tuple(self._ended),
            settings=tuple(self._settings),
        )

    def _known_since_s(self) -> float:
        """Return from when on every request and every change of the settings is known."""
        since_s = self._since_s
        if self._ended.is_full:
            since_s = max(since_s, self._ended.oldest.ended_s)
        return max(since_s, self._settings[0][0]) if self._settings else since_s

    def _start_of_slice(self, time_s: float) -> float:
        """Return when the first slice begins that lies behind `time_s`."""
        return self._since_s + math.ceil((time_s - self._since_s) / SLICE_S) * SLICE_S

    def _observe_iteration(self, stats: IterationStats) -> None:
        start_s = self._since_s + (stats.end_s - self._since_s) // SLICE_S * SLICE_S
        if not self._slices or self._slices[-1].start_s < start_s:
            self._slices.append(SliceOfLoad(start_s))
        found = self._slices[-1]
        found.tally.observe(stats)
        self._observe_pace(found, stats)

    def _observe_pace(self, found: SliceOfLoad, stats: IterationStats) -> None:
        """Note how an iteration's time compares with the profile's: all of it, or where there are stages, their work.

        What it waited there behind others is theirs.
        """
        features = self._features.read(stats)
        if self._cost_model is None:
            return
        predicted_s = self._cost_model.predict(features)
        has_stages = self._cost_model.num_stages > 1
        taken_s = sum(stage.busy_s for stage in stats.stages) if has_stages else stats.idle_s + stats.duration_s
        seen = found.factors.setdefault(Regime.of(features), array("d"))
        if predicted_s > 0.0 and taken_s > 0.0 and len(seen) < _MAX_FACTORS:
            seen.append(taken_s / predicted_s)

    def _end(self, stats: RequestStats) -> None:
        self._features.forget(stats.request_id)
        self._ended.add(
            PastRequest(
                arrival_s=stats.arrival_s,
                first_token_s=stats.first_token_s,
                ended_s=stats.finished_s,
                num_prompt_tokens=stats.num_prompt_tokens - stats.num_cached_tokens,
                num_output_tokens=stats.num_output_tokens,
            )
        )
