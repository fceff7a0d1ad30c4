"""Sends requests when they are due, whatever has become of those before them."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from sarathictl.bench.follow import Follower
from sarathictl.bench.load import sleep_until
from sarathictl.bench.trace import LoadTrace, RequestTrace, Role
from sarathid.workload import PlannedRequest

LOOK_EVERY_S = 2.0


class OpenLoop:
    """One run of a request list; the prompts' tokens come from `rng`.

    Requests that have not finished `grace_s` after the last was sent have failed.
    """

    def __init__(
        self,
        api_socket: Path,
        requests: Sequence[PlannedRequest],
        rng: random.Random,
        *,
        vocab_size: int,
        grace_s: float,
    ) -> None:
        self._requests = requests
        self._grace_s = grace_s
        self._follower = Follower(api_socket, vocab_size, rng)
        self.traces: list[RequestTrace] = []

    async def run(self, is_hopeless: Callable[[], Awaitable[bool]]) -> LoadTrace:
        """Send all requests and follow them to their end; stop at once when `is_hopeless()` says so."""
        start_s = time.monotonic()
        sending = asyncio.create_task(self._send_all(start_s))
        watching = asyncio.create_task(_until(is_hopeless))
        try:
            await asyncio.wait((sending, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, watching):
                task.cancel()
            await asyncio.wait((sending, watching))
        for task in (sending, watching):
            if not task.cancelled():
                task.result()
        return LoadTrace(start_s, time.monotonic(), tuple(self.traces))

    async def _send_all(self, start_s: float) -> None:
        deadline_s = start_s + self._requests[-1].arrival_s + self._grace_s
        async with asyncio.TaskGroup() as group:
            for index, planned in enumerate(self._requests):
                await sleep_until(start_s + planned.arrival_s)
                trace = RequestTrace(Role.REQUEST, index, planned.num_prompt_tokens, time.monotonic())
                self.traces.append(trace)
                group.create_task(self._follow(trace, planned.num_output_tokens, deadline_s))

    async def _follow(self, trace: RequestTrace, num_output_tokens: int, deadline_s: float) -> None:
        try:
            async with asyncio.timeout(deadline_s - time.monotonic()):
                await self._follower.follow(trace, num_output_tokens)
        except TimeoutError:
            trace.failure = "not finished when the run ended"


async def _until(is_true: Callable[[], Awaitable[bool]]) -> None:
    while not await is_true():
        await asyncio.sleep(LOOK_EVERY_S)
