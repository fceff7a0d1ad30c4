"""A real engine over a model that recites: its n-th output token is the n-th byte of a script.

In a thread for tests of the servers, and as a process (`python -m tests.server.scripted_engine`) for
tests of the supervisor, where the configured model's name says how it behaves.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from sarathid.clock import MonotonicClock
from sarathid.config import EngineConfig
from sarathid.costmodel.pipeline import StageWork
from sarathid.engine.assembly import build_core, engine_info, initial_settings
from sarathid.engine.client import EngineClient
from sarathid.engine.host import EngineHost
from sarathid.engine.link import DaemonLink
from sarathid.executor.base import ExecutorInfo, ExecutorOutput
from sarathid.protocol.logprobs import PromptLogprobs, TokenLogprobs
from sarathid.protocol.step import EngineFault, EngineReady
from sarathid.scheduler.batch import Drawn, ScheduledBatch
from tests.factories import make_executor_info
from tests.server.byte_tokenizer import EOS, VOCAB_SIZE

SCRIPT = "Once upon a time 😀 there was a stall. "
NUM_BLOCKS = 256
BLOCK_SIZE = 4
MAX_MODEL_LEN = 512


def logprobs_of(token_id: int, num_top: int) -> TokenLogprobs:
    """Return how likely a token is to the reciter: the more, the smaller its id."""
    return TokenLogprobs(-token_id / 8, tuple(range(num_top)), tuple(-other / 8 for other in range(num_top)))


class RecitingExecutor:
    """Takes `pace_s` for each batch; recites for ever, or says end-of-sequence behind a script that `ends`."""

    max_batches_in_flight = 1
    runs_ahead = False

    def __init__(self, script: str, *, ends: bool, pace_s: float) -> None:
        self._script = script.encode()
        self._ends = ends
        self._pace_s = pace_s
        self._submitted: deque[ScheduledBatch] = deque()

    def start(self) -> ExecutorInfo:
        info = make_executor_info(NUM_BLOCKS, BLOCK_SIZE, MAX_MODEL_LEN)
        return dataclasses.replace(info, vocab_size=VOCAB_SIZE, eos_token_ids=frozenset({EOS}))

    def submit(self, batch: ScheduledBatch) -> None:
        self._submitted.append(batch)

    def collect(self) -> ExecutorOutput:
        start_s = time.monotonic()
        time.sleep(self._pace_s)
        return ExecutorOutput(self._draw(self._submitted.popleft()), (StageWork(start_s, time.monotonic() - start_s),))

    def probe(self) -> None:
        """Nothing: who asks is who recites."""

    def close(self) -> None:
        self._submitted.clear()

    def _draw(self, batch: ScheduledBatch) -> Drawn:
        """Recite, sure of what is the next token and of nothing else in the prompt."""
        sampled = [sequence.sampling for sequence in batch.sequences if sequence.sampling is not None]
        token_ids = tuple(self._token(sampling.num_output_tokens) for sampling in sampled)
        return Drawn(
            token_ids,
            tuple(
                None if sampling.params.logprobs is None else logprobs_of(token_id, sampling.params.logprobs)
                for token_id, sampling in zip(token_ids, sampled, strict=True)
            ),
            tuple(
                PromptLogprobs(
                    chunk.request_id,
                    chunk.first_position + 1,
                    tuple(logprobs_of(token_id, targets.num_top) for token_id in targets.token_ids),
                )
                for chunk in batch.chunks
                if (targets := chunk.prompt_targets) is not None
            ),
        )

    def _token(self, index: int) -> int:
        if self._ends and index >= len(self._script):
            return EOS
        return self._script[index % len(self._script)]


class HangingExecutor(RecitingExecutor):
    """Recites some batches, enough for the engine to predict them, and never returns from the next."""

    def __init__(self, script: str, *, pace_s: float, num_batches: int) -> None:
        super().__init__(script, ends=False, pace_s=pace_s)
        self._num_left = num_batches

    def collect(self) -> ExecutorOutput:
        if not self._num_left:
            threading.Event().wait()
        self._num_left -= 1
        return super().collect()


def serve(daemon: socket.socket, config: EngineConfig, executor: RecitingExecutor, daemon_pipe: int) -> None:
    """Be the engine at the other end of `daemon` until that says stop or `daemon_pipe` ends."""
    with contextlib.closing(DaemonLink(daemon)) as link:
        found = executor.start()
        settings = initial_settings(config, found.isolated_decode_s)
        link.send(EngineReady(info=engine_info(config, found, os.getpid()), settings=settings))
        core = build_core(config, executor, found, MonotonicClock())
        EngineHost(core, link, daemon_pipe).run()


@asynccontextmanager
async def scripted_engine(
    script: str = SCRIPT,
    *,
    ends: bool = True,
    pace_s: float = 0.0,
    sheds_overload: bool = False,
    max_queue_len: int = 1024,
) -> AsyncIterator[EngineClient]:
    """Give a client whose engine recites in a thread."""
    ours, theirs = os.pipe()
    connection, daemon = socket.socketpair()
    executor = RecitingExecutor(script, ends=ends, pace_s=pace_s)
    thread = threading.Thread(target=serve, args=(daemon, EngineConfig(), executor, ours))
    thread.start()
    client = EngineClient(max_queue_len, sheds_overload=sheds_overload)
    await client.connect(connection)
    running = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        running.cancel()
        os.close(theirs)
        await asyncio.to_thread(thread.join)
        client.disconnected()
        await client.close()
        os.close(ours)


def main() -> int:
    """Behave as the configured model says: well, refused, crashes, silent, hangs (only at first), refused later."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--daemon", type=int, required=True)
    parser.add_argument("--generation", type=int, required=True)
    parser.add_argument("--kept-memory", type=int)
    arguments = parser.parse_args()
    daemon = socket.socket(fileno=arguments.daemon)
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=EngineConfig)
    match config.model:
        case "refused" | "refused later" if config.model == "refused" or arguments.generation:
            with contextlib.closing(DaemonLink(daemon)) as link:
                link.send(EngineFault(message="this model is refused", exit_code=7))
            return 7
        case "crashes":
            return 3
        case "silent":
            sys.stdin.buffer.read()
        case "hangs" if arguments.generation == 0:
            hanging = HangingExecutor(SCRIPT, pace_s=0.0, num_batches=40)
            serve(daemon, config, hanging, sys.stdin.fileno())
        case _:
            executor = RecitingExecutor(SCRIPT, ends=False, pace_s=0.01)
            serve(daemon, config, executor, sys.stdin.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
