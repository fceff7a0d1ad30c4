"""The load that shows interference: streams that decode while long prompts keep arriving."""

import asyncio
import random
import time
from dataclasses import dataclass
from pathlib import Path

from sarathictl.bench.follow import Follower
from sarathictl.bench.trace import LoadTrace, RequestTrace, Role
from sarathid.errors import SarathiError
from sarathid.workload import ConstantLength, PeriodicArrivals, PlannedRequest, Workload

WARM_UP_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InterferencePlan:
    """How many streams decode, and how long and how often the prompts are that arrive meanwhile.

    The last prompts get one more `period_s` after `duration_s` to finish, no longer.
    """

    num_streams: int = 8
    num_stream_prompt_tokens: int = 256
    num_prompt_tokens: int = 2000
    num_prompt_output_tokens: int = 8
    period_s: float = 10.0
    first_prompt_s: float = 2.0
    duration_s: float = 60.0
    seed: int = 0

    @property
    def prompts(self) -> Workload:
        return Workload(
            PeriodicArrivals(self.period_s, self.first_prompt_s),
            ConstantLength(self.num_prompt_tokens),
            ConstantLength(self.num_prompt_output_tokens),
        )


class InterferenceLoad:
    """Sends one plan's requests to a daemon, once, and keeps what came back; the prompts' tokens come from `rng`."""

    def __init__(
        self, api_socket: Path, plan: InterferencePlan, rng: random.Random, *, vocab_size: int, max_model_len: int
    ) -> None:
        self._plan = plan
        self._follower = Follower(api_socket, vocab_size, rng)
        self._num_stream_output_tokens = max_model_len - plan.num_stream_prompt_tokens
        self._rng = rng
        self._requests: list[RequestTrace] = []

    async def run(self) -> LoadTrace:
        """Let all streams decode, then send prompts for the plan's duration; return what was seen.

        Raises `SarathiError` when the streams do not come to decode; a request that fails later is
        kept with its failure.
        """
        start_s = end_s = None
        async with asyncio.TaskGroup() as group:
            decoding = [asyncio.Event() for _ in range(self._plan.num_streams)]
            streams = [group.create_task(self._keep_streaming(*numbered)) for numbered in enumerate(decoding)]
            try:
                if await self._all_decode(decoding):
                    start_s = time.monotonic()
                    await self._send_prompts(start_s)
                    end_s = time.monotonic()
            finally:
                for stream in streams:
                    stream.cancel()
        if start_s is None or end_s is None:
            raise SarathiError(self._why_not_started())
        return LoadTrace(start_s, end_s, tuple(self._requests))

    async def _all_decode(self, decoding: list[asyncio.Event]) -> bool:
        """Wait for every stream's first token; return whether it came."""
        try:
            async with asyncio.timeout(WARM_UP_TIMEOUT_S):
                for event in decoding:
                    await event.wait()
        except TimeoutError:
            return False
        return not any(request.failure for request in self._requests)

    def _why_not_started(self) -> str:
        for request in self._requests:
            if request.failure:
                return f"{request.name} could not start: {request.failure}"
        return f"not every stream had a first token after {WARM_UP_TIMEOUT_S:.0f} s"

    async def _keep_streaming(self, index: int, decoding: asyncio.Event) -> None:
        """Decode until cancelled, starting anew where a request reached the end of the model's context."""
        trace = None
        while trace is None or trace.failure is None:
            trace = self._new_trace(Role.STREAM, index, self._plan.num_stream_prompt_tokens)
            await self._follower.follow(trace, self._num_stream_output_tokens, on_token=decoding.set)
        decoding.set()

    async def _send_prompts(self, start_s: float) -> None:
        deadline_s = start_s + self._plan.duration_s + self._plan.period_s
        async with asyncio.TaskGroup() as group:
            for index, planned in enumerate(self._plan.prompts.requests(self._plan.duration_s, self._rng)):
                await sleep_until(start_s + planned.arrival_s)
                group.create_task(self._send_prompt(index, planned, deadline_s))
            await sleep_until(start_s + self._plan.duration_s)

    async def _send_prompt(self, index: int, planned: PlannedRequest, deadline_s: float) -> None:
        trace = self._new_trace(Role.PROMPT, index, planned.num_prompt_tokens)
        try:
            async with asyncio.timeout(deadline_s - trace.sent_s):
                await self._follower.follow(trace, planned.num_output_tokens)
        except TimeoutError:
            trace.failure = "not finished when the run ended"

    def _new_trace(self, role: Role, index: int, num_prompt_tokens: int) -> RequestTrace:
        trace = RequestTrace(role, index, num_prompt_tokens, time.monotonic())
        self._requests.append(trace)
        return trace


async def sleep_until(time_s: float) -> None:
    """Wait for a moment of the monotonic clock; one that has passed waits for nothing."""
    await asyncio.sleep(max(0.0, time_s - time.monotonic()))
