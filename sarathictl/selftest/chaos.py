"""Misfortune under load, round after round: whatever befalls the engine, each stream must go on as if nothing had."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sarathictl import units
from sarathictl.selftest.answer import Answer, ask
from sarathictl.selftest.check import Check, SelfTestReport, all_of, none_of
from sarathictl.selftest.daemon import TestedDaemon
from sarathictl.selftest.memory import flat, resident_bytes
from sarathictl.selftest.misfortune import Misfortune, Moment
from sarathictl.selftest.probe import Probe, ProbeLengths
from sarathictl.selftest.random_retuning import POLICIES, RandomRetuning
from sarathictl.selftest.witness import Witness
from sarathid.errors import SarathiError
from sarathid.histogram import LatencyHistogram
from sarathid.protocol.control import MAX_HISTORY, DaemonState, Status
from sarathid.protocol.stats import EngineInfo, LifeCycle

PATIENCE_S = 600.0
NUM_PROBES = 48
NUM_LEAVERS = 2
RETUNE_EVERY_S = 0.5
MOMENTS = (*list(Moment)[:-1], *list(Moment)[:-1], Moment.STOP)  # a stop is noticed after seconds: one in eleven


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosPlan:
    """How long: until `duration_s` have passed or there were `num_rounds`, with so many streams in each.

    The settings change among these `policies`; all but stall-free let prompts stall other streams by themselves.
    """

    duration_s: float
    num_rounds: int | None
    num_streams: int
    seed: int
    policies: Sequence[str] = POLICIES


class Absences:
    """When there was no engine, by the daemon's own word."""

    def __init__(self) -> None:
        self._down_s: float | None = None
        self.seconds: list[float] = []

    async def note(self, witness: Witness) -> None:
        """Take notes until cancelled."""
        while True:
            event = await witness.first(LifeCycle)
            if event.state == DaemonState.RESTARTING and self._down_s is None:
                self._down_s = event.time_s
            elif event.state == DaemonState.READY and self._down_s is not None:
                self.seconds.append(event.time_s - self._down_s)
                self._down_s = None


class Chaos:
    """One run of a plan against a daemon; `say` is told of each round."""

    def __init__(self, daemon: TestedDaemon, plan: ChaosPlan, say: Callable[[str], None]) -> None:
        self._daemon = daemon
        self._plan = plan
        self._say = say
        self._rng = random.Random(plan.seed)
        self._known: dict[Probe, list[int]] = {}
        self._absences = Absences()
        self._num_by_moment: Counter[Moment] = Counter()
        self._num_streams = 0
        self._wrong: list[str] = []
        self._not_back: list[str] = []
        self._gaps = LatencyHistogram()
        self._gaps_when_killed = LatencyHistogram()  # as the next, beyond the engine's absence
        self._gaps_when_stopped = LatencyHistogram()
        self._samples: list[int] = []

    async def run(self) -> SelfTestReport:
        """Learn what undisturbed answers are, then disturb; raises `SarathiError` when the daemon does not survive."""
        engine = await self._daemon.engine()
        before = await self._daemon.rest()
        await self._learn(engine)
        rng = random.Random(self._plan.seed + 1)
        retuning = RandomRetuning(self._daemon, engine, rng, RETUNE_EVERY_S, self._plan.policies)
        with Witness(self._daemon.endpoint) as witness:
            notes = asyncio.create_task(self._absences.note(witness))
            async with retuning.under_way():
                await self._disturb(before, engine)
            notes.cancel()
            await asyncio.wait((notes,))
        after = await self._daemon.status()
        return SelfTestReport(seed=self._plan.seed, checks=tuple(self._checks(before, after, retuning.num_changes)))

    async def _learn(self, engine: EngineInfo) -> None:
        longest = engine.max_model_len
        lengths = ProbeLengths(prompt=(4, min(longest // 8, 256)), output=(16, 48))
        probes = [lengths.draw(self._rng, engine.vocab_size) for _ in range(NUM_PROBES)]
        self._say(f"learning what {len(probes)} undisturbed answers are")
        for probe, answer in zip(probes, await asyncio.gather(*map(self._ask, probes)), strict=True):
            if not answer.is_whole(probe):
                raise SarathiError(f"an undisturbed request was not answered: {answer.failure or answer.refusal}")
            self._known[probe] = answer.token_ids

    async def _disturb(self, before: Status, engine: EngineInfo) -> None:
        deadline_s = time.monotonic() + self._plan.duration_s
        num_rounds = 0
        while num_rounds != self._plan.num_rounds and time.monotonic() < deadline_s:
            num_rounds += 1
            moment = self._rng.choice(MOMENTS)
            await self._round(Moment(moment), before.pid)
            status = await self._daemon.rest()
            if status.num_blocks_free != engine.num_blocks:
                self._not_back.append(f"{engine.num_blocks - status.num_blocks_free} after round {num_rounds}")
            if status.num_iterations >= MAX_HISTORY:  # until then the daemon's memory of the latest of them fills up
                self._samples.append(resident_bytes(before.pid))
            self._say(f"round {num_rounds}: {moment}, {len(self._wrong)} answers wrong so far")

    async def _round(self, moment: Moment, daemon_pid: int) -> None:
        """Start the streams, strike while they run, and see how they end."""
        num_absences = len(self._absences.seconds)
        with Witness(self._daemon.endpoint) as witness, self._striking(moment, daemon_pid, witness):
            probes = self._rng.choices(list(self._known), k=self._plan.num_streams)
            leavers = [asyncio.create_task(self._ask(probe, leave_after=8)) for probe in probes[:NUM_LEAVERS]]
            answers = await asyncio.gather(*map(self._ask, probes))
            await asyncio.gather(*leavers)
        await self._daemon.rest()
        absent_s = sum(self._absences.seconds[num_absences:])
        beyond = self._gaps_when_stopped if moment is Moment.STOP else self._gaps_when_killed
        for probe, answer in zip(probes, answers, strict=True):
            beyond.record(max(0.0, answer.longest_gap_s - absent_s))
            self._judge(probe, answer)

    @contextmanager
    def _striking(self, moment: Moment, daemon_pid: int, witness: Witness) -> Iterator[None]:
        """Let misfortune come while the context lasts; a moment that does not come is missed."""
        strike = asyncio.create_task(Misfortune(moment, daemon_pid, witness, self._rng).strike())
        try:
            yield
        finally:
            if strike.done():
                strike.result()
                self._num_by_moment[moment] += 1
            strike.cancel()

    def _judge(self, probe: Probe, answer: Answer) -> None:
        self._num_streams += 1
        self._gaps.record(answer.longest_gap_s)
        if not answer.is_whole(probe):
            self._wrong.append(answer.failure or answer.refusal or f"ended with {answer.finish_reason}")
        elif answer.token_ids != self._known[probe]:
            pairs = zip(answer.token_ids, self._known[probe], strict=True)
            first = next(place for place, (found, known) in enumerate(pairs) if found != known)
            self._wrong.append(f"token {first} of {probe.num_output_tokens} differs")

    async def _ask(self, probe: Probe, *, leave_after: int | None = None) -> Answer:
        return await ask(self._daemon.endpoint.api, probe, patience_s=PATIENCE_S, leave_after=leave_after)

    def _checks(self, before: Status, after: Status, num_changes: int) -> Iterator[Check]:
        yield all_of("streams whole and as undisturbed", self._num_streams - len(self._wrong), self._num_streams)
        yield none_of("those that were not", self._wrong)
        yield none_of("blocks missing after a round", self._not_back)
        yield Check("the daemon", "the same process", before.pid == after.pid)
        yield flat(self._samples)
        struck = ", ".join(f"{self._num_by_moment[moment]} at {moment}" for moment in Moment)
        yield Check("struck", struck)
        restarts = after.num_engine_restarts - before.num_engine_restarts
        yield Check("engine restarts, changes of settings", f"{restarts}, {num_changes}")
        absences = sorted(self._absences.seconds)
        if absences:
            median_s, longest_s = absences[len(absences) // 2], absences[-1]
            yield Check("without an engine", f"P50 {units.duration(median_s)}, max {units.duration(longest_s)}")
        yield Check("longest gap of a stream", _percentiles(self._gaps))
        yield Check("of it beyond the engine's absence", _percentiles(self._gaps_when_killed))
        yield Check("of a stopped one's, noticed after seconds", _percentiles(self._gaps_when_stopped))


def _percentiles(gaps: LatencyHistogram) -> str:
    return f"P50 {units.duration(gaps.percentile(0.5))}, P99 {units.duration(gaps.percentile(0.99))}"
