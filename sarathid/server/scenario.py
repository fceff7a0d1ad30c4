"""The last minutes in the form that `sarathid simulate` reads: who came when, on which devices, within which limits."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sarathid.executor.pace import Pace
from sarathid.protocol.slo import BudgetMode
from sarathid.protocol.stats import EngineInfo, EngineSettings
from sarathid.request_list import FORMATS
from sarathid.server.fitted_pace import fit_pace
from sarathid.simulator.timed_change import form_of
from sarathid.telemetry.past_requests import PastRequest
from sarathid.telemetry.recent_load import Span
from sarathid.workload import PlannedRequest

MAX_LEAD_S = 120.0
_SEED = 1
_COLUMNS = FORMATS[0]
_REQUESTS_FILE = "requests.csv"
_PACE_FILE = "pace.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A span to be replayed from `start_s` on, which is before it where requests were in flight when it began.

    The devices take `correction` times the profile's time, by the median of their iterations, and vary as `pace` says.
    """

    profile: str
    engine: EngineInfo
    span: Span
    start_s: float
    requests: tuple[PlannedRequest, ...]
    correction: float
    pace: Pace | None
    num_guessed: int
    num_left_out: int

    @classmethod
    def of(cls, profile: str, engine: EngineInfo, span: Span, in_flight: Sequence[PastRequest]) -> "Scenario":
        """Return the scenario of a span with the requests that are in flight at its end."""
        known = [*(request for request in span.ended if request.num_output_tokens), *in_flight]
        start_s = _lead_in(span, known)
        replayed = [_from(request, start_s) for request in known if request.ended_s > start_s]
        num_refused = sum(not request.num_output_tokens and request.ended_s > start_s for request in span.ended)
        correction, pace = fit_pace(span.slices, start_s)
        return cls(
            correction=correction,
            pace=pace,
            profile=profile,
            engine=engine,
            span=span,
            start_s=start_s,
            requests=tuple(sorted(replayed, key=lambda request: request.arrival_s)),
            num_guessed=len(in_flight),
            num_left_out=num_refused,
        )

    def write(self, directory: Path) -> None:
        """Write the files that the arguments name."""
        with (directory / _REQUESTS_FILE).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow((_COLUMNS.arrival, _COLUMNS.prompt, _COLUMNS.output))
            for request in self.requests:
                writer.writerow((request.arrival_s, request.num_prompt_tokens, request.num_output_tokens))
        if self.pace is not None:
            (directory / _PACE_FILE).write_bytes(msgspec.json.encode(self.pace))

    def as_it_was(self, directory: Path) -> tuple[str, ...]:
        """Return the arguments of a replay under the settings that were in force, one after the other."""
        past = [settings for from_s, settings in self.span.settings if from_s <= self.start_s]
        later = [(from_s, settings) for from_s, settings in self.span.settings if from_s > self.start_s]
        changes = [("--then", form_of(from_s - self.start_s, in_force(settings))) for from_s, settings in later]
        first = in_force(past[-1])
        return (*self.under(first, directory), *(word for change in changes for word in change))

    def under(self, settings: EngineSettings, directory: Path) -> tuple[str, ...]:
        """Return the arguments of a replay under other settings."""
        engine, span = self.engine, self.span
        options = {
            "--profile": self.profile,
            "--workload": directory / _REQUESTS_FILE,
            "--policy": settings.policy,
            "--budget": settings.token_budget if settings.slo.tbt_s is None else settings.budget,
            "--max-num-seqs": engine.max_num_seqs,
            "--max-model-len": engine.max_model_len,
            "--num-blocks": engine.num_blocks,
            "--block-size": engine.block_size,
            "--watermark": _watermark(engine),
            "--min-budget": engine.min_token_budget,
            "--max-budget": engine.max_token_budget,
            "--overload": settings.overload(engine.overload),
            "--prefill-order": engine.prefill_order,
            "--correction": self.correction,
            "--window": f"{_moment(span.start_s - self.start_s)}:{span.end_s - self.start_s}s",
        }
        if settings.slo.tbt_s is not None:
            options["--slo-tbt"] = f"{settings.slo.tbt_s}s"
        if settings.slo.ttft_s is not None:
            options["--slo-ttft"] = f"{settings.slo.ttft_s}s"
        if self.pace is not None:
            options |= {"--pace": directory / _PACE_FILE, "--disturb": _SEED}
        return ("simulate", "--json", *(str(word) for option in options.items() for word in option))


def in_force(settings: EngineSettings) -> EngineSettings:
    """Return settings with a profiled budget as the number that the engine made of it."""
    if settings.budget_mode is not BudgetMode.PROFILED:
        return settings
    return msgspec.structs.replace(settings, budget_mode=BudgetMode.FIXED)


def _moment(seconds: float) -> str:
    return f"{seconds}s" if seconds > 0.0 else ""


def _watermark(engine: EngineInfo) -> float:
    """Return a share of the blocks that comes to those kept free, whichever way it is rounded."""
    return (engine.num_watermark_blocks + 0.5) / engine.num_blocks if engine.num_watermark_blocks else 0.0


def _lead_in(span: Span, requests: Sequence[PastRequest]) -> float:
    """Return from when on to replay, so that the span begins with what was in flight then: since the oldest of it."""
    arrivals_s = [request.arrival_s for request in requests if request.arrival_s < span.start_s < request.ended_s]
    return max(min(arrivals_s, default=span.start_s), span.start_s - MAX_LEAD_S, span.known_since_s)


def _from(request: PastRequest, start_s: float) -> PlannedRequest:
    """Return what is left of a request at `start_s`; what it had got until then, evenly, is prompt.

    One that had nothing by then goes on waiting since it came.
    """
    num_done, arrival_s = 0, request.arrival_s - start_s
    if request.first_token_s is not None and request.first_token_s < start_s:
        arrival_s = max(0.0, arrival_s)
        if request.ended_s < math.inf:
            share = (start_s - request.first_token_s) / (request.ended_s - request.first_token_s)
            num_done = min(request.num_output_tokens - 1, int(share * request.num_output_tokens))
    return PlannedRequest(
        arrival_s,
        request.num_prompt_tokens + num_done,
        request.num_output_tokens - num_done,
    )
