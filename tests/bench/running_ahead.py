"""What putting batches together ahead gains: `python -m tests.bench.running_ahead [--profile NAME] [--rounds N]`.

Starts an engine's own process on the simulated device of a cost profile, without `--async-scheduling` and with it in
turn, and has some sequences decode. Prints the milliseconds from token to token, and what the device alone takes: the
rest is what it waits for its host. The host is real, the device is not.
"""

import argparse
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import Literal, NamedTuple

import msgspec

from sarathid.config import EngineConfig
from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.executor.frames import FrameSocket, framed
from sarathid.protocol.codec import decode, encode
from sarathid.protocol.stats import IterationStats
from sarathid.protocol.step import AddRequest, EngineMessage, EngineReady, Shutdown, StepOutput
from tests.factories import make_request

PROFILE = "a100/mistral-7b-tp1"
NUM_DECODES = (8, 32, 128)
NUM_PROMPT_TOKENS = 200
NUM_TOKENS = 400


class Iterations(NamedTuple):
    """Medians over iterations of decodes alone, in milliseconds: from token to token, and what the device takes."""

    gap_ms: float
    device_ms: float


def run(profile: str, num_decodes: int, mode: Literal["on", "off"]) -> Iterations:
    """Have an engine decode `num_decodes` sequences to their ends."""
    config = EngineConfig(simulate=profile, async_scheduling=mode, max_num_seqs=num_decodes)
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "sarathid.engine.process", "--daemon", str(theirs.fileno())]
    with ours, subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(theirs.fileno(),)) as engine:
        theirs.close()
        assert engine.stdin is not None
        engine.stdin.write(msgspec.json.encode(config) + b"\n")
        engine.stdin.flush()
        found = list(_iterations(FrameSocket(ours), num_decodes))
        ours.sendall(framed(encode(Shutdown())))
        engine.wait()
    cost_model = IterationCostModel(find_profile(profile))
    contexts = [NUM_PROMPT_TOKENS + index for index in range(len(found))]
    device_s = [cost_model.predict(IterationFeatures(num_decodes, num_decodes * length)) for length in contexts]
    return Iterations(1e3 * median(stats.gaps[0].tbt_s for stats in found), 1e3 * median(device_s))


def _iterations(engine: FrameSocket, num_decodes: int) -> Iterator[IterationStats]:
    """Yield the iterations of all decodes and nothing else."""
    while not isinstance(_next(engine), EngineReady):
        pass
    for index in range(num_decodes):
        now_s = time.monotonic()
        request = make_request(index, NUM_PROMPT_TOKENS, max_tokens=NUM_TOKENS, ignore_eos=True, arrival_s=now_s)
        engine.connection.sendall(framed(encode(AddRequest(request))))
    num_ended = 0
    while num_ended < num_decodes:
        message = _next(engine)
        if isinstance(message, StepOutput):
            num_ended += len(message.finished)
            stats = message.stats
            if stats is not None and len(stats.gaps) == num_decodes and not stats.chunks:
                yield stats


def _next(engine: FrameSocket) -> EngineMessage:
    body = engine.receive()
    assert body is not None, "the engine is gone"
    message: EngineMessage = decode(body, EngineMessage)
    return message


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default=PROFILE)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    print("decodes      off       on   device  (ms from token to token)")
    for num_decodes in NUM_DECODES:
        for _ in range(arguments.rounds):
            off, on = (run(arguments.profile, num_decodes, mode) for mode in ("off", "on"))
            print(f"{num_decodes:7}{off.gap_ms:9.2f}{on.gap_ms:9.2f}{on.device_ms:9.2f}", flush=True)


if __name__ == "__main__":
    main()
