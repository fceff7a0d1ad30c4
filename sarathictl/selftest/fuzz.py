"""Malformed frames, many of them, at all three sockets: the daemon must live, answer in its own words, keep nothing."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec
import zmq
import zmq.asyncio

from sarathictl.client.api import get_json
from sarathictl.client.endpoint import check_reachable
from sarathictl.selftest.check import Check, SelfTestReport, all_of, none_of
from sarathictl.selftest.daemon import TestedDaemon
from sarathictl.selftest.frames import FrameMaker
from sarathictl.selftest.memory import MOST_GROWTH, resident_bytes
from sarathictl.selftest.restored_settings import restored_settings
from sarathid.errors import CodecError
from sarathid.protocol.codec import decode
from sarathid.protocol.control import ControlReply

SHARE_OF_CONTROL, SHARE_OF_HTTP = 0.6, 0.15  # the rest is noise
BURST = 32
ANSWER_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 1.0
NUM_HTTP_CLIENTS = 8
NUM_NOISE_CLIENTS = 4
NUM_SAMPLES = 200
WARM_UP_SHARE = 0.2  # buffers of bounded length fill meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzPlan:
    """How many frames, of all kinds together."""

    num_frames: int
    seed: int


class Fuzz:
    """One run of a plan against a daemon; `say` is told how far it got."""

    def __init__(self, daemon: TestedDaemon, plan: FuzzPlan, say: Callable[[str], None]) -> None:
        self._daemon = daemon
        self._plan = plan
        self._say = say
        self._frames = FrameMaker(random.Random(plan.seed), get_json(daemon.endpoint.api, "/openapi.json"))
        self._rng = random.Random(plan.seed + 1)
        self._num_sent: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._wrong: list[str] = []
        self._samples: list[int] = []

    async def run(self) -> SelfTestReport:
        """Send all frames and report how the daemon stood it."""
        before = await self._daemon.rest()
        engine = await self._daemon.engine()
        num_control = int(SHARE_OF_CONTROL * self._plan.num_frames)
        num_http = int(SHARE_OF_HTTP * self._plan.num_frames)
        http, noise = iter(range(num_http)), iter(range(self._plan.num_frames - num_control - num_http))
        async with restored_settings(self._daemon):
            await asyncio.gather(
                self._send_control(iter(range(num_control)), before.pid),
                *(self._send_http(http) for _ in range(NUM_HTTP_CLIENTS)),
                *(self._send_noise(noise) for _ in range(NUM_NOISE_CLIENTS)),
            )
        after = await self._daemon.rest()
        return SelfTestReport(
            seed=self._plan.seed,
            checks=(
                Check("frames sent", ", ".join(f"{count:,} {kind}" for kind, count in self._num_sent.items())),
                Check("HTTP statuses", ", ".join(f"{n:,} x {status}" for status, n in sorted(self._statuses.items()))),
                none_of("answers that are none of ours", self._wrong),
                Check("the daemon", *_same_process(before.pid, after.pid)),
                none_of("engine restarts", ["some"] * (after.num_engine_restarts - before.num_engine_restarts)),
                all_of("blocks back", after.num_blocks_free, engine.num_blocks),
                kept_memory(self._samples),
            ),
        )

    async def _send_control(self, numbers: Iterator[int], daemon_pid: int) -> None:
        """Send messages in bursts; every one of them has an answer."""
        every = max(1, int(SHARE_OF_CONTROL * self._plan.num_frames) // BURST // NUM_SAMPLES)
        with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(f"ipc://{self._daemon.endpoint.control}")
            num_bursts = 0
            while burst := list(islice(numbers, BURST)):
                for _ in burst:
                    await dealer.send_multipart(self._frames.control())
                await self._take_replies(dealer, len(burst))
                self._num_sent["control"] += len(burst)
                if num_bursts % every == 0:
                    self._samples.append(resident_bytes(daemon_pid))
                if num_bursts % (20 * every) == 0:
                    self._say(f"{self._num_sent.total():,} of {self._plan.num_frames:,} sent")
                num_bursts += 1

    async def _take_replies(self, dealer: zmq.asyncio.Socket, num_expected: int) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                for _ in range(num_expected):
                    self._judge_reply(await dealer.recv())
        except TimeoutError:
            check_reachable(self._daemon.endpoint.control)
            self._wrong.append(f"control socket: no answer within {ANSWER_TIMEOUT_S:g} s")

    def _judge_reply(self, body: bytes) -> None:
        try:
            reply: ControlReply = decode(body, ControlReply)
        except CodecError as error:
            self._wrong.append(f"control socket: {error}")
            return
        if (reply.ok is None) is (reply.error is None):
            self._wrong.append(f"control socket: {msgspec.json.encode(reply).decode()[:80]}")

    async def _send_http(self, numbers: Iterator[int]) -> None:
        """Send requests, a third of them damaged, and look at the statuses."""
        for _ in numbers:
            frame = self._frames.damaged_http() if self._rng.random() < 1 / 3 else self._frames.http()
            self._judge_response(await _exchange(self._daemon.endpoint.api, frame))
            self._num_sent["HTTP"] += 1

    def _judge_response(self, response: bytes) -> None:
        if not response:  # a request without its end has no answer
            return
        head, _, _ = response.partition(b"\r\n\r\n")
        version, _, rest = head.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            self._wrong.append(f"HTTP: {response[:60]!r}")
            return
        status = int(rest[:3])
        self._statuses[status] += 1
        if status >= 500 and not (status == 503 and b"retry-after:" in head.lower()):
            self._wrong.append(f"HTTP status {status}: {response[-200:]!r}")

    async def _send_noise(self, numbers: Iterator[int]) -> None:
        """Write noise to one socket after another, several frames a connection, and hang up."""
        endpoint = self._daemon.endpoint
        while frames := list(islice(numbers, self._rng.randint(1, BURST))):
            path = self._rng.choice((endpoint.api, endpoint.control, endpoint.stats))
            check_reachable(path)
            with contextlib.suppress(OSError):  # the daemon may hang up first
                _reader, writer = await asyncio.open_unix_connection(path)
                for _ in frames:
                    writer.write(self._frames.noise())
                    await writer.drain()
                writer.close()
                await writer.wait_closed()
            self._num_sent["noise"] += len(frames)


async def _exchange(path: Path, frame: bytes) -> bytes:
    """Send a request on a connection of its own and return what came before it ended, or was taking too long."""
    response = b""
    check_reachable(path)
    reader, writer = await asyncio.open_unix_connection(path)
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(READ_TIMEOUT_S):
            writer.write(frame)
            await writer.drain()
            while piece := await reader.read(1 << 16):
                response += piece
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return response


def kept_memory(samples: list[int]) -> Check:
    """Return the check that a daemon holds no more at the end than when its bounded buffers had filled."""
    what = "the daemon's resident memory since it was warm"
    warm = samples[int(WARM_UP_SHARE * len(samples)) :]
    if len(warm) < 2:
        return Check(what, "too few samples to tell")
    growth = warm[-1] / warm[0] - 1.0
    return Check(what, f"{growth:+.2%} of {warm[0] / (1 << 20):.0f} MiB", growth <= MOST_GROWTH)


def _same_process(before: int, after: int) -> tuple[str, bool]:
    return ("the same process", True) if before == after else ("another process", False)
