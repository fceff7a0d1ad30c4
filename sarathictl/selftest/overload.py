"""Many times the requests that can be served: who is taken must be served well, and the others told so at once."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sarathictl import units
from sarathictl.selftest.answer import Answer, ask
from sarathictl.selftest.check import Check, SelfTestReport, all_of, none_of
from sarathictl.selftest.daemon import TestedDaemon
from sarathictl.selftest.probe import Probe, ProbeLengths
from sarathid.errors import SarathiError
from sarathid.histogram import LatencyHistogram
from sarathid.protocol.control import Status
from sarathid.protocol.slo import OverloadMode
from sarathid.protocol.stats import EngineInfo

PATIENCE_S = 600.0
LONGEST_REFUSAL_S = 0.05
REFUSALS = "sarathid_refusal_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadPlan:
    """For how long `factor` times as many requests come as `num_at_a_time` clients had served for `learn_s`."""

    duration_s: float
    factor: float
    num_at_a_time: int
    learn_s: float
    seed: int


class Overload:
    """One run of a plan against a daemon; `say` is told how far it got."""

    def __init__(self, daemon: TestedDaemon, plan: OverloadPlan, say: Callable[[str], None]) -> None:
        self._daemon = daemon
        self._plan = plan
        self._say = say
        self._rng = random.Random(plan.seed)
        self._gaps = LatencyHistogram()
        self._answers: list[tuple[Probe, Answer]] = []

    async def run(self) -> SelfTestReport:
        """Learn what is served, send many times that, and report what became of it."""
        engine = await self._daemon.engine()
        lengths = ProbeLengths(prompt=(16, max(16, engine.max_model_len // 16)), output=(16, 48))
        await self._daemon.rest()
        rate_per_s = await self._learn(engine, lengths)
        before = await self._daemon.buckets(REFUSALS)
        num_left = await self._overload(self._plan.factor * rate_per_s, engine, lengths)
        after = await self._daemon.buckets(REFUSALS)
        status = await self._daemon.rest()
        refusals = {bound_s: count - before[bound_s] for bound_s, count in after.items()}
        checks = tuple(self._checks(rate_per_s, num_left, refusals, status))
        return SelfTestReport(seed=self._plan.seed, checks=checks)

    async def _learn(self, engine: EngineInfo, lengths: ProbeLengths) -> float:
        """Return how many requests a second are served to clients who wait for one answer before they want another."""
        self._say(f"learning how much is served, for {self._plan.learn_s:g} s")
        deadline_s = time.monotonic() + self._plan.learn_s
        num_served = 0

        async def keep_asking() -> None:
            nonlocal num_served
            while time.monotonic() < deadline_s:
                probe = lengths.draw(self._rng, engine.vocab_size)
                answer = await ask(self._daemon.endpoint.api, probe, patience_s=PATIENCE_S)
                num_served += answer.is_whole(probe)

        start_s = time.monotonic()
        await asyncio.gather(*(keep_asking() for _ in range(self._plan.num_at_a_time)))
        if not num_served:
            raise SarathiError(f"nothing was served within {self._plan.learn_s:g} s")
        return num_served / (time.monotonic() - start_s)

    async def _overload(self, rate_per_s: float, engine: EngineInfo, lengths: ProbeLengths) -> int:
        """Send so many requests a second, see what runs to its end, and return how many still waited then."""
        self._say(f"sending {rate_per_s:.1f} requests a second for {self._plan.duration_s:g} s")
        start_s, due_s = time.monotonic(), 0.0
        waiting: dict[int, asyncio.Task[None]] = {}
        asking: list[asyncio.Task[None]] = []
        while due_s < self._plan.duration_s:
            await asyncio.sleep(start_s + due_s - time.monotonic())
            probe = lengths.draw(self._rng, engine.vocab_size)
            task = asyncio.create_task(self._ask(probe, len(asking), waiting))
            waiting[len(asking)] = task
            asking.append(task)
            due_s += self._rng.expovariate(rate_per_s)
        left = list(waiting.values())
        for task in left:
            task.cancel()
        await asyncio.wait(asking)
        return len(left)

    async def _ask(self, probe: Probe, number: int, waiting: dict[int, asyncio.Task[None]]) -> None:
        last_s: float | None = None

        def on_token(_number: int) -> None:
            nonlocal last_s
            now_s = time.monotonic()
            if last_s is None:
                waiting.pop(number, None)
            else:
                self._gaps.record(now_s - last_s)
            last_s = now_s

        try:
            answer = await ask(self._daemon.endpoint.api, probe, patience_s=PATIENCE_S, on_token=on_token)
            self._answers.append((probe, answer))
        finally:
            waiting.pop(number, None)

    def _checks(self, rate_per_s: float, num_left: int, refusals: dict[float, int], status: Status) -> Iterator[Check]:
        taken = [(probe, answer) for probe, answer in self._answers if answer.refusal is None]
        num_refused = len(self._answers) - len(taken)
        yield Check("served without overload", f"{rate_per_s:.2f} requests a second")
        yield Check(
            "requests sent, refused, still waiting at the end",
            f"{len(self._answers) + num_left:,}, {num_refused:,}, {num_left:,}",
        )
        yield all_of("requests that were taken and whole", sum(a.is_whole(p) for p, a in taken), len(taken))
        yield none_of(
            "those that were not", (a.failure or f"ended with {a.finish_reason}" for p, a in taken if not a.is_whole(p))
        )
        yield self._target_check(status)
        yield _refusal_check(refusals)

    def _target_check(self, status: Status) -> Check:
        found_s = self._gaps.percentile(0.99)
        target_s = None if status.settings is None else status.settings.slo.tbt_s
        words = f"{units.duration(found_s)} of {units.duration(target_s)}, {self._gaps.count:,} times"
        if _admits_all(status):
            return Check("time between tokens as clients saw it, P99", f"{words}; nobody is held back for it")
        is_right = None if found_s is None or target_s is None else found_s <= target_s
        return Check("time between tokens as clients saw it, P99", words, is_right)


def _admits_all(status: Status) -> bool:
    """Whether new requests are let in although the decodes alone miss the target."""
    if status.engine is None or status.settings is None:
        return False
    return status.settings.overload(status.engine.overload) is OverloadMode.ADMIT


def _refusal_check(refusals: dict[float, int]) -> Check:
    """Return whether refusals were quick; `refusals` are cumulative by bound, seconds."""
    what, total = "a refusal, from its first byte to the reply, P99", max(refusals.values(), default=0)
    if not total:
        return Check(what, "nothing was refused; send more, or lower --max-queue-len", is_right=False)
    bound_s = min(bound_s for bound_s, count in refusals.items() if count >= 0.99 * total)
    return Check(what, f"within {units.duration(bound_s)}, {total:,} times", bound_s <= LONGEST_REFUSAL_S)
