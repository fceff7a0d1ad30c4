"""The highest request rate that a running daemon holds under its objective, policy by policy."""

import asyncio
import csv
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import msgspec

from sarathictl import units
from sarathictl.bench.interference import apply, restored, what_runs
from sarathictl.bench.measurement import Setting
from sarathictl.bench.open_loop import OpenLoop
from sarathictl.bench.run_files import MachineFacts, machine_facts
from sarathictl.bench.trial import LiveTrial, is_hopeless, judge
from sarathictl.client.control import ControlClient
from sarathictl.client.endpoint import Endpoint
from sarathid.capacity import Capacity, CapacitySearch, Objective, meets
from sarathid.errors import ConfigError
from sarathid.protocol.stats import EngineInfo, RequestStats
from sarathid.request_list import RequestList

CONTROL_TIMEOUT_S = 60.0
IDLE_POLL_S = 0.2
IDLE_TIMEOUT_S = 120.0
NUM_WARM_UP_REQUESTS = 8
REQUEST_COLUMNS = (
    "trial",
    "setting",
    "rate_per_s",
    "request",
    "prompt_tokens",
    "tokens",
    "sent_s",
    "ttft_s",
    "tbt_max_s",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPlan:
    """What is searched: `first_rate_per_s` is tried first, for the first setting.

    Later settings begin at half of what the first one held, and are given up `max_ratio` times below it.
    """

    workload: str
    requests: RequestList
    first_rate_per_s: float
    max_ratio: float
    grace_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class SettingCapacity:
    """What one setting held: its rate, None if it held none that was tried, and every trial."""

    setting: Setting
    rate_per_s: float | None
    lowest_failing_per_s: float | None
    trials: tuple[LiveTrial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacitySummary:
    """All that is needed to read the capacities, and to search them again."""

    machine: MachineFacts
    engine: EngineInfo
    objective: Objective
    workload: str
    num_requests: int
    duration_s: float
    capacities: tuple[SettingCapacity, ...]


class CapacityBench:
    """Searches one daemon's capacity under several settings with the same requests, open loop, over HTTP."""

    def __init__(self, endpoint: Endpoint, plan: CapacityPlan, directory: Path, say: Callable[[str], None]) -> None:
        self._endpoint = endpoint
        self._plan = plan
        self._directory = directory
        self._say = say
        self._rng = random.Random(plan.seed)
        self._num_trials = 0

    def run(self, settings: Sequence[Setting]) -> CapacitySummary:
        """Search each setting in turn and return what was found; the daemon gets its own settings back.

        Raises `ConfigError` when the daemon has no TBT target or the requests do not fit its context.
        """
        started_s = time.monotonic()
        machine = machine_facts()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._append("requests.csv", [REQUEST_COLUMNS])
        self._append("trials.csv", [("trial", "setting", *(field.name for field in fields(LiveTrial)))])
        with ControlClient(self._endpoint.control, CONTROL_TIMEOUT_S) as control:
            engine, before = what_runs(control.status())
            if before.slo.tbt_s is None:
                raise ConfigError("the daemon has no TBT target; give it one: sarathictl set-slo tbt=300ms")
            objective = Objective(before.slo.tbt_s)
            self._check_lengths(engine)
            found: list[SettingCapacity] = []
            with restored(control, before):
                for setting in settings:
                    apply(control, setting, before)
                    self._warm_up(engine, control)
                    found.append(self._search(setting, engine, control, objective, found))
        summary = CapacitySummary(
            machine=machine,
            engine=engine,
            objective=objective,
            workload=self._plan.workload,
            num_requests=len(self._plan.requests.requests),
            duration_s=time.monotonic() - started_s,
            capacities=tuple(found),
        )
        encoded = msgspec.json.format(msgspec.json.encode(summary), indent=2)
        (self._directory / "summary.json").write_bytes(encoded + b"\n")
        return summary

    def _search(
        self,
        setting: Setting,
        engine: EngineInfo,
        control: ControlClient,
        objective: Objective,
        found: Sequence[SettingCapacity],
    ) -> SettingCapacity:
        best = found[0].rate_per_s if found else None
        first_rate_per_s = self._plan.first_rate_per_s if best is None else best / 2.0
        search = CapacitySearch(
            lambda rate_per_s, objective: self._run_trial(setting, engine, control, rate_per_s, objective),
            first_rate_per_s=first_rate_per_s,
            min_rate_per_s=(best or first_rate_per_s) / self._plan.max_ratio,
            max_rate_per_s=100.0,
        )
        capacity: Capacity[LiveTrial] = search.find(objective)
        return SettingCapacity(
            setting,
            capacity.rate_per_s,
            capacity.lowest_failing_per_s,
            tuple(trial for _, trial in capacity.trials),
        )

    def _run_trial(
        self, setting: Setting, engine: EngineInfo, control: ControlClient, rate_per_s: float, objective: Objective
    ) -> LiveTrial:
        _wait_until_idle(control)
        planned = self._plan.requests.at_rate(rate_per_s).requests
        loop = OpenLoop(
            self._endpoint.api, planned, self._rng, vocab_size=engine.vocab_size, grace_s=self._plan.grace_s
        )
        start_s = time.monotonic()

        async def gives_up() -> bool:
            finished = await asyncio.to_thread(_finished_since, control, start_s)
            return is_hopeless(objective, planned, loop.traces, finished)

        load = asyncio.run(loop.run(gives_up))
        trial = judge(rate_per_s, planned, load, _finished_since(control, start_s))
        self._keep(setting, trial, loop)
        verdict = "holds" if meets(trial, objective) else "fails"
        self._say(
            f"{setting.label}  {rate_per_s:.3f}/s {verdict}: P99 TBT {units.duration(trial.tbt_p99_s)}, median delay "
            f"{units.duration(trial.scheduling_delay_p50_s)}, {trial.num_finished} of {trial.num_requests} finished "
            f"in {units.duration(trial.duration_s)}{'' if trial.is_complete else ', stopped'}"
        )
        return trial

    def _warm_up(self, engine: EngineInfo, control: ControlClient) -> None:
        """Let the daemon serve a few of the requests before anything is measured."""
        planned = self._plan.requests.at_rate(self._plan.first_rate_per_s).requests[:NUM_WARM_UP_REQUESTS]
        loop = OpenLoop(
            self._endpoint.api, planned, self._rng, vocab_size=engine.vocab_size, grace_s=self._plan.grace_s
        )

        async def never() -> bool:
            return False

        asyncio.run(loop.run(never))
        _wait_until_idle(control)

    def _check_lengths(self, engine: EngineInfo) -> None:
        longest = max(request.num_tokens for request in self._plan.requests.requests)
        if longest > engine.max_model_len:
            raise ConfigError(
                f"{engine.model} holds {engine.max_model_len} tokens and the longest request has {longest}; "
                "scale the workload: --scale 1:8"
            )

    def _keep(self, setting: Setting, trial: LiveTrial, loop: OpenLoop) -> None:
        number = self._num_trials
        self._num_trials += 1
        self._append("trials.csv", [(number, setting.label, *asdict(trial).values())])
        self._append(
            "requests.csv",
            [
                (
                    number,
                    setting.label,
                    trial.rate_per_s,
                    trace.name,
                    trace.num_prompt_tokens,
                    len(trace.token_times_s),
                    trace.sent_s,
                    trace.ttft_s,
                    max(trace.tbts_s(trace.sent_s, float("inf")), default=None),
                )
                for trace in loop.traces
            ],
        )

    def _append(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        with (self._directory / name).open("a", newline="") as file:
            csv.writer(file).writerows(rows)


def _finished_since(control: ControlClient, start_s: float) -> tuple[RequestStats, ...]:
    snapshot = control.snapshot(0)
    return tuple(stats for stats in snapshot.finished if stats.arrival_s >= start_s)


def _wait_until_idle(control: ControlClient) -> None:
    """Wait until nothing that was cut off still runs; raises `TimeoutError` when something goes on running."""
    deadline_s = time.monotonic() + IDLE_TIMEOUT_S
    while (status := control.status()).num_running + status.num_waiting:
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"requests still run on the daemon after {IDLE_TIMEOUT_S:.0f} s; stop its other clients")
        time.sleep(IDLE_POLL_S)


def describe(summary: CapacitySummary) -> str:
    """Return the capacities as a table, the first setting's over each other one's beside it."""
    best, *_ = summary.capacities
    lines = [
        f"{summary.num_requests} requests of {summary.workload} a trial, {summary.engine.model} on "
        f"{summary.machine.num_cores} cores; P99 TBT within {units.duration(summary.objective.tbt_s)}, median "
        f"scheduling delay within {units.duration(summary.objective.scheduling_delay_s)}",
        "",
        f"{'':<24}{'requests/s':>12}{'TTFT P50':>12}{'tokens/s':>12}   {best.setting.label} holds",
    ]
    lines += [_line(one, best) for one in summary.capacities]
    return "\n".join(lines)


def _line(one: SettingCapacity, best: SettingCapacity) -> str:
    held = [trial for trial in one.trials if trial.rate_per_s == one.rate_per_s]
    if not held:
        rate, ttft, tokens = f"< {one.lowest_failing_per_s:.3f}", units.ABSENT, units.ABSENT
    else:
        rate = f"{one.rate_per_s:.3f}"
        ttft, tokens = units.duration(held[0].ttft_p50_s), f"{held[0].output_tokens_per_s:.1f}"
    return f"{one.setting.label:<24}{rate:>12}{ttft:>12}{tokens:>12}   {_ratio(one, best)}".rstrip()


def _ratio(one: SettingCapacity, best: SettingCapacity) -> str:
    if one is best or best.rate_per_s is None:
        return ""
    if one.rate_per_s is not None:
        return f"{best.rate_per_s / one.rate_per_s:.2f}x"
    assert one.lowest_failing_per_s is not None, "a search that held nothing failed somewhere"
    return f"more than {best.rate_per_s / one.lowest_failing_per_s:.2f}x"
