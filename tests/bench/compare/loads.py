"""What every server is asked to do, and the few figures that each of it gives."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

import aiohttp

from sarathictl.bench.load import sleep_until
from sarathictl.bench.measurement import nearest_rank
from sarathictl.bench.trace import RequestTrace, Role
from sarathid.workload import random_token_ids
from tests.bench.compare.completion import Completions, cancelled, client_session

NUM_STREAM_PROMPT_TOKENS = 256
NUM_LONG_PROMPT_TOKENS = 2048
NUM_LONG_PROMPTS = 3
NUM_STREAMS = 8
STREAM_OUTPUT_TOKENS = 1500  # longer than any load lasts
STEADY_S = 10.0
ARRIVALS_S = 40.0
ARRIVALS_EVERY_S = 10.0
SHARE_OF_PREFILL_RATE = 0.8
NUM_MIXED = 32
MIXED_PROMPT_TOKENS = (256, 1024)
MIXED_OUTPUT_TOKENS = 64
FIRST_TOKEN_ID = 100  # below are those with a meaning of their own

Figures = dict[str, float]


@dataclass(slots=True)
class Client:
    """Sends requests to one server with prompts that no cache has seen."""

    completions: Completions
    session: aiohttp.ClientSession
    vocab_size: int
    rng: random.Random
    traces: list[RequestTrace] = field(default_factory=list)

    async def follow(
        self, role: Role, num_prompt_tokens: int, num_output_tokens: int, on_token: Callable[[], None] = lambda: None
    ) -> RequestTrace:
        trace = RequestTrace(role, len(self.traces), num_prompt_tokens, time.monotonic())
        self.traces.append(trace)
        token_ids = random_token_ids(num_prompt_tokens, self.vocab_size - FIRST_TOKEN_ID, self.rng)
        token_ids = [FIRST_TOKEN_ID + token_id for token_id in token_ids]
        await self.completions.follow(self.session, trace, token_ids, num_output_tokens, on_token)
        if trace.failure:
            raise RuntimeError(f"{trace.name} was refused: {trace.failure}")
        return trace


Load = Callable[[Client], Coroutine[None, None, Figures]]


def run(load: Load, completions: Completions, vocab_size: int, seed: int) -> Figures:
    """Put one load on a server and return its figures: tokens a second, and seconds."""

    async def once() -> Figures:
        async with client_session() as session:
            return await load(Client(completions, session, vocab_size, random.Random(seed)))

    return asyncio.run(once())


def steady(num_streams: int) -> Load:
    """Return the load of so many streams that decode, and nothing else."""

    async def load(client: Client) -> Figures:
        async with _streams(client, num_streams):
            start_s = time.monotonic()
            await asyncio.sleep(STEADY_S)
            return _stream_figures(client, start_s, time.monotonic())

    return load


async def prefill(client: Client) -> Figures:
    """Prompts one after another, nothing beside them."""
    traces = [await client.follow(Role.PROMPT, NUM_LONG_PROMPT_TOKENS, 1) for _ in range(NUM_LONG_PROMPTS)]
    return {"prefill tok/s": NUM_LONG_PROMPT_TOKENS / median(trace.ttft_s or 0.0 for trace in traces)}


def arrivals(period_s: float) -> Load:
    """Return the load of eight streams that decode while a long prompt arrives every `period_s`."""

    async def load(client: Client) -> Figures:
        async with _streams(client, NUM_STREAMS):
            start_s = time.monotonic()
            prompts = []
            due_s = start_s + 1.0
            while due_s < start_s + ARRIVALS_S:
                await sleep_until(due_s)
                prompts.append(asyncio.create_task(_prompt(client)))
                due_s += period_s
            await sleep_until(start_s + ARRIVALS_S)
            figures = _stream_figures(client, start_s, time.monotonic())
            await cancelled(prompts)
        waits_s = [
            trace.ttft_s or time.monotonic() - trace.sent_s for trace in client.traces if trace.role is Role.PROMPT
        ]
        return figures | {"prompt TTFT s": median(waits_s)}

    return load


async def mixed_batch(client: Client) -> Figures:
    """All at once, prompts of many lengths: how long until the last is done."""
    start_s = time.monotonic()
    lengths = [client.rng.randint(*MIXED_PROMPT_TOKENS) for _ in range(NUM_MIXED)]
    async with asyncio.TaskGroup() as group:
        for length in lengths:
            group.create_task(client.follow(Role.REQUEST, length, MIXED_OUTPUT_TOKENS))
    duration_s = time.monotonic() - start_s
    return {"tok/s": (sum(lengths) + NUM_MIXED * MIXED_OUTPUT_TOKENS) / duration_s}


async def _prompt(client: Client) -> None:
    await client.follow(Role.PROMPT, NUM_LONG_PROMPT_TOKENS, 8)


@asynccontextmanager
async def _streams(client: Client, num_streams: int) -> AsyncIterator[None]:
    """Let so many streams decode for as long as the context lasts; entered when each has a token."""
    begun = [asyncio.Event() for _ in range(num_streams)]

    async def stream(has_begun: asyncio.Event) -> None:
        while True:
            await client.follow(Role.STREAM, NUM_STREAM_PROMPT_TOKENS, STREAM_OUTPUT_TOKENS, has_begun.set)

    tasks = [asyncio.create_task(stream(event)) for event in begun]
    try:
        waiting = asyncio.create_task(_all(begun))
        await asyncio.wait((waiting, *tasks), return_when=asyncio.FIRST_COMPLETED)
        await cancelled([waiting])
        yield
    finally:
        await cancelled(tasks)


async def _all(events: list[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


def _stream_figures(client: Client, start_s: float, end_s: float) -> Figures:
    streams = [trace for trace in client.traces if trace.role is Role.STREAM]
    tbts_s = sorted(tbt_s for trace in streams for tbt_s in trace.tbts_s(start_s, end_s))
    num_tokens = sum(trace.num_tokens(start_s, end_s) for trace in streams)
    return {
        "tok/s": num_tokens / (end_s - start_s),
        "TBT P50 ms": 1e3 * (nearest_rank(tbts_s, 0.50) or 0.0),
        "TBT P99 ms": 1e3 * (nearest_rank(tbts_s, 0.99) or 0.0),
        "TBT max ms": 1e3 * tbts_s[-1],
    }
