"""The same load under one setting after another, on one running daemon."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sarathictl.bench.iteration_log import IterationLog
from sarathictl.bench.load import InterferenceLoad, InterferencePlan
from sarathictl.bench.measurement import Phase, Setting, measure
from sarathictl.bench.run_files import RunFiles, Summary, machine_facts
from sarathictl.client.control import ControlClient
from sarathictl.client.endpoint import Endpoint
from sarathid.errors import ConfigError, NotReachable
from sarathid.protocol.control import DaemonState, Status
from sarathid.protocol.stats import EngineInfo, EngineSettings

CONTROL_TIMEOUT_S = 60.0  # a change waits for the iteration that runs, which may hold a whole long prompt


class InterferenceBench:
    """Compares settings on one daemon under one plan, phase by phase, and keeps every raw row."""

    def __init__(self, endpoint: Endpoint, plan: InterferencePlan, files: RunFiles, say: Callable[[str], None]) -> None:
        self._endpoint = endpoint
        self._plan = plan
        self._files = files
        self._say = say
        self._rng = random.Random(plan.seed)  # one for all phases: no phase finds its prompts in a cache

    def run(self, settings: Sequence[Setting], num_repeats: int = 1) -> Summary:
        """Run a phase of each setting in turn, `num_repeats` times over, and return the figures.

        The daemon gets its own settings back, however this ends. Raises `ConfigError` for a plan
        that the model's context does not hold, `ControlRefused` for a setting that the daemon
        refuses, `NotReachable` when it is not ready.
        """
        machine = machine_facts()
        with ControlClient(self._endpoint.control, CONTROL_TIMEOUT_S) as control:
            status = control.status()
            engine, before = what_runs(status)
            self._check_lengths(engine)
            if num_others := status.num_running + status.num_waiting + status.num_preempted:
                self._say(f"{num_others} other requests share the daemon; the figures include what they cost")
            with restored(control, before):
                for setting in settings:  # a mistyped one is refused before any time is spent
                    apply(control, setting, before)
                phases = list(self._phases(control, engine, before, list(settings) * num_repeats))
        summary = Summary(
            machine=machine,
            engine=engine,
            target_s=before.slo.tbt_s,
            plan=self._plan,
            measurements=tuple(measure(setting, phases, before.slo.tbt_s) for setting in settings),
            num_records_lost=sum(phase.num_records_lost for phase in phases),
        )
        self._files.write_summary(summary)
        return summary

    def _phases(
        self, control: ControlClient, engine: EngineInfo, before: EngineSettings, order: Sequence[Setting]
    ) -> Iterator[Phase]:
        for index, setting in enumerate(order):
            apply(control, setting, before)
            self._say(f"{index + 1} of {len(order)}: {setting.label}, {self._plan.duration_s:.0f} s ...")
            phase = asyncio.run(self._run_phase(engine, setting))
            self._files.add_phase(index, phase)
            yield phase

    async def _run_phase(self, engine: EngineInfo, setting: Setting) -> Phase:
        with IterationLog(self._endpoint) as log:
            load = await _load_for(self._endpoint, engine, self._plan, self._rng).run()
        return Phase(setting, load, tuple(log.iterations), log.num_lost)

    def _check_lengths(self, engine: EngineInfo) -> None:
        num_wanted = self._plan.num_prompt_tokens + self._plan.num_prompt_output_tokens
        if max(num_wanted, self._plan.num_stream_prompt_tokens + 1) > engine.max_model_len:
            raise ConfigError(
                f"{engine.model} holds {engine.max_model_len} tokens, prompt and output; choose shorter prompts"
            )


async def run_load(endpoint: Endpoint, plan: InterferencePlan) -> None:
    """Put one plan's load on a daemon for somebody else to watch."""
    with ControlClient(endpoint.control, CONTROL_TIMEOUT_S) as control:
        engine, _ = what_runs(control.status())
    await _load_for(endpoint, engine, plan, random.Random(plan.seed)).run()


def _load_for(endpoint: Endpoint, engine: EngineInfo, plan: InterferencePlan, rng: random.Random) -> InterferenceLoad:
    return InterferenceLoad(endpoint.api, plan, rng, vocab_size=engine.vocab_size, max_model_len=engine.max_model_len)


def what_runs(status: Status) -> tuple[EngineInfo, EngineSettings]:
    """Return the engine and its settings; raises `NotReachable` when the daemon is not ready."""
    if status.state is not DaemonState.READY or status.engine is None or status.settings is None:
        raise NotReachable(
            f"the daemon is {status.state}, not ready yet; ask again when `sarathictl status` says ready"
        )
    return status.engine, status.settings


@contextmanager
def restored(control: ControlClient, before: EngineSettings) -> Iterator[None]:
    """Put the daemon's own settings back at the end, however that comes."""
    try:
        yield
    finally:
        apply(control, Setting(before.policy, before.budget), before)


def apply(control: ControlClient, setting: Setting, before: EngineSettings) -> None:
    """Put a setting in force; one without a budget gets the one that the daemon had."""
    budget = before.budget if setting.budget is None else setting.budget
    control.set_policy(setting.policy)
    control.set_budget(budget)
