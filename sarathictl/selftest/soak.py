"""Many requests of every kind, kept up for long: each must be answered, every block come back, and no memory stay."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sarathictl.selftest.answer import Answer, ask
from sarathictl.selftest.check import Check, SelfTestReport, all_of, none_of
from sarathictl.selftest.daemon import TestedDaemon
from sarathictl.selftest.memory import flat, resident_bytes
from sarathictl.selftest.probe import Probe, ProbeLengths
from sarathictl.selftest.random_retuning import RandomRetuning
from sarathid.protocol.stats import EngineInfo

PATIENCE_S = 300.0
NUM_SAMPLES = 200
RETUNE_EVERY_S = 1.0


class Kind(StrEnum):
    """What a request of the mix is for."""

    PLAIN = "plain"
    LARGE = "large"  # several of them do not fit into a small KV cache together: somebody is preempted
    DISCONNECT = "disconnect"
    OVER_LENGTH = "over-length"


SHARES = {Kind.PLAIN: 0.67, Kind.LARGE: 0.03, Kind.DISCONNECT: 0.2, Kind.OVER_LENGTH: 0.1}


@dataclass(frozen=True, slots=True)
class MixedRequest:
    """One request of the mix; its client goes away after `leave_after` tokens, None if it stays."""

    kind: Kind
    probe: Probe
    leave_after: int | None

    def is_answered(self, answer: Answer) -> bool:
        """Return whether it came to the end that its kind has, or was told that there is no room."""
        if self.kind is Kind.OVER_LENGTH or answer.refusal is not None:
            return answer.refusal is not None
        return answer.has_left or answer.is_whole(self.probe)


class Mix:
    """Draws requests for an engine."""

    def __init__(self, engine: EngineInfo, rng: random.Random) -> None:
        longest = engine.max_model_len
        self._engine = engine
        self._rng = rng
        self._lengths = {
            Kind.PLAIN: ProbeLengths(prompt=(1, longest // 16), output=(1, 32)),
            Kind.LARGE: ProbeLengths(prompt=(longest // 2, longest - 64), output=(32, 63)),
            Kind.DISCONNECT: ProbeLengths(prompt=(1, longest // 16), output=(8, 64)),
            Kind.OVER_LENGTH: ProbeLengths(prompt=(longest, longest + 8), output=(1, 8)),
        }

    def draw(self) -> MixedRequest:
        (kind,) = self._rng.choices(list(SHARES), list(SHARES.values()))
        probe = self._lengths[kind].draw(self._rng, self._engine.vocab_size)
        leaves = kind is Kind.DISCONNECT
        return MixedRequest(kind, probe, self._rng.randrange(probe.num_output_tokens) if leaves else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakPlan:
    """How many requests, and how many at a time."""

    num_requests: int
    num_at_a_time: int
    seed: int


class Soak:
    """One run of a plan against a daemon; `say` is told how far it got."""

    def __init__(self, daemon: TestedDaemon, plan: SoakPlan, say: Callable[[str], None]) -> None:
        self._daemon = daemon
        self._plan = plan
        self._say = say
        self._rng = random.Random(plan.seed)
        self._num_answered: Counter[Kind] = Counter()
        self._num_sent: Counter[Kind] = Counter()
        self._num_without_room = 0
        self._unanswered: list[str] = []
        self._samples: list[int] = []

    async def run(self) -> SelfTestReport:
        """Send all requests and report what became of them and of the daemon."""
        engine = await self._daemon.engine()
        before = await self._daemon.rest()
        num_preempted = await self._daemon.counter("sarathid_num_preemptions_total")
        mix = Mix(engine, self._rng)
        retuning = RandomRetuning(self._daemon, engine, random.Random(self._plan.seed + 1), RETUNE_EVERY_S)
        numbers = iter(range(self._plan.num_requests))
        async with retuning.under_way():
            clients = [self._keep_sending(numbers, mix, before.pid) for _ in range(self._plan.num_at_a_time)]
            await asyncio.gather(*clients)
        after = await self._daemon.rest()
        num_preempted = await self._daemon.counter("sarathid_num_preemptions_total") - num_preempted
        return SelfTestReport(
            seed=self._plan.seed,
            checks=(
                all_of("requests answered", self._num_answered.total(), self._num_sent.total()),
                none_of("requests that were not", self._unanswered),
                Check("of these by kind", ", ".join(f"{count:,} {kind}" for kind, count in self._num_sent.items())),
                Check("refused for want of room", f"{self._num_without_room:,}"),
                Check("preemptions, changes of settings", f"{num_preempted:,}, {retuning.num_changes:,}"),
                all_of("blocks back", after.num_blocks_free, engine.num_blocks),
                Check("engine restarts", *_number_of_none(after.num_engine_restarts - before.num_engine_restarts)),
                flat(self._samples),
            ),
        )

    async def _keep_sending(self, numbers: Iterator[int], mix: Mix, daemon_pid: int) -> None:
        sample_every = max(1, self._plan.num_requests // NUM_SAMPLES)
        for number in numbers:
            await self._send(mix.draw())
            if number % sample_every == 0:
                self._samples.append(resident_bytes(daemon_pid))
            if number % max(1, self._plan.num_requests // 10) == 0:
                self._say(f"{number:,} of {self._plan.num_requests:,} sent")

    async def _send(self, request: MixedRequest) -> None:
        answer = await ask(
            self._daemon.endpoint.api, request.probe, patience_s=PATIENCE_S, leave_after=request.leave_after
        )
        self._num_sent[request.kind] += 1
        if request.is_answered(answer):
            self._num_answered[request.kind] += 1
            self._num_without_room += answer.refusal is not None and request.kind is not Kind.OVER_LENGTH
        else:
            what = answer.failure or answer.refusal or f"ended with {answer.finish_reason}"
            self._unanswered.append(f"{request.kind}: {what}")


def _number_of_none(number: int) -> tuple[str, bool]:
    return f"{number}", number == 0
