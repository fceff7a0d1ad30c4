import asyncio
import os
import re
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sarathid.config import EngineConfig
from sarathid.engine import silence
from sarathid.engine.client import EngineClient
from sarathid.errors import EngineFailed
from sarathid.protocol.requests import SamplingParams
from sarathid.supervisor import EngineSupervisor
from tests.engine.reading import deltas_of
from tests.server.scripted_engine import SCRIPT

COMMAND = (sys.executable, "-m", "tests.server.scripted_engine")


class Supervised:
    """A supervisor over reciting engines, and what it said."""

    def __init__(self, model: str, max_restarts: int, start_timeout_s: float, command: tuple[str, ...]) -> None:
        self.client = EngineClient()
        self.up = asyncio.Event()
        self.reasons: list[str] = []
        self.told: asyncio.Queue[str] = asyncio.Queue()
        self.supervisor = EngineSupervisor(
            self.client,
            EngineConfig(model=model),
            start_timeout_s=start_timeout_s,
            max_restarts=max_restarts,
            on_down=self._on_down,
            on_up=self.up.set,
            command=command,
        )

    @property
    def engine_pid(self) -> int:
        assert self.client.info is not None
        return self.client.info.engine_pid

    def _on_down(self, reason: str) -> None:
        self.up.clear()
        self.reasons.append(reason)
        self.told.put_nowait(reason)


def supervise(
    use: Callable[[Supervised], Awaitable[None]],
    *,
    model: str = "well",
    max_restarts: int = 3,
    start_timeout_s: float = 60.0,
    command: tuple[str, ...] = COMMAND,
) -> None:
    async def main() -> None:
        supervised = Supervised(model, max_restarts, start_timeout_s, command)
        running = asyncio.create_task(supervised.supervisor.run())
        using = asyncio.ensure_future(use(supervised))
        await asyncio.wait((running, using), return_when=asyncio.FIRST_COMPLETED)
        try:
            if running.done():
                running.result()
            await using
        finally:
            using.cancel()
            running.cancel()
            await asyncio.wait((running, using))
            await supervised.supervisor.stop()

    asyncio.run(main())


async def never(_supervised: Supervised) -> None:
    await asyncio.Event().wait()


def test_a_stream_goes_on_identically_behind_a_killed_engine() -> None:
    async def use(supervised: Supervised) -> None:
        await supervised.up.wait()
        stream = supervised.client.submit((1, 2, 3), SamplingParams(max_tokens=60, temperature=0.0))
        first_engine = supervised.engine_pid
        tokens: list[int] = []
        async for delta in deltas_of(stream):
            assert delta.token_id is not None
            tokens.append(delta.token_id)
            if len(tokens) == 10:
                os.kill(first_engine, signal.SIGKILL)
        stream.close()

        script = SCRIPT.encode()
        assert bytes(tokens) == (script * 2)[:60]
        assert supervised.reasons == ["the engine was killed by SIGKILL"]
        assert supervised.supervisor.num_restarts == 1
        assert supervised.engine_pid != first_engine

    supervise(use)


def test_a_stream_goes_on_identically_behind_an_engine_that_hangs() -> None:
    async def use(supervised: Supervised) -> None:
        await supervised.up.wait()
        stream = supervised.client.submit((1, 2, 3), SamplingParams(max_tokens=60, temperature=0.0))
        tokens = [delta.token_id async for delta in deltas_of(stream)]
        stream.close()

        assert tokens == list((SCRIPT.encode() * 2)[:60])
        (reason,) = supervised.reasons
        assert re.fullmatch(r"the engine said nothing for 5\.\d s in iteration 40 \(1 decodes\)", reason)

        supervised.up.clear()
        os.kill(supervised.engine_pid, signal.SIGSTOP)
        await supervised.up.wait()
        assert re.fullmatch(r"the engine said nothing for 5\.\d s with nothing to compute", supervised.reasons[1])

    supervise(use, model="hangs")


def test_an_engine_that_hangs_again_before_it_served_what_hung_gets_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "LEAST_LIMIT_S", 2.0)

    async def use(supervised: Supervised) -> None:
        await supervised.up.wait()
        supervised.client.submit((1, 2, 3), SamplingParams(max_tokens=1000, temperature=0.0, ignore_eos=True))
        for _ in range(2):
            supervised.up.clear()
            os.kill(supervised.engine_pid, signal.SIGSTOP)
            await supervised.up.wait()
        found = [re.match(r"the engine said nothing for (\d+)\.\d s", reason) for reason in supervised.reasons]
        assert [match and match[1] for match in found] == ["2", "4"]

    supervise(use)


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    async def use(supervised: Supervised) -> None:
        await supervised.up.wait()
        supervised.up.clear()
        os.kill(supervised.engine_pid, 40)
        await supervised.up.wait()
        assert supervised.reasons == ["the engine was killed by signal 40"]

    supervise(use)


def test_stopping_ends_the_engine() -> None:
    pids: list[int] = []

    async def use(supervised: Supervised) -> None:
        await supervised.up.wait()
        pids.append(supervised.engine_pid)

    supervise(use)

    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_model_that_is_refused_is_not_tried_again() -> None:
    with pytest.raises(EngineFailed, match="this model is refused") as failed:
        supervise(never, model="refused")

    assert failed.value.reason_code == 7


def test_an_engine_that_ends_before_it_is_ready_fails_the_start() -> None:
    with pytest.raises(EngineFailed, match="ended with status 3"):
        supervise(never, model="crashes")


def test_an_engine_that_is_never_ready_fails_the_start() -> None:
    with pytest.raises(EngineFailed, match="--start-timeout"):
        supervise(never, model="silent", start_timeout_s=0.5)


def test_restarts_are_used_up() -> None:
    async def use(supervised: Supervised) -> None:
        while True:
            await supervised.up.wait()
            supervised.up.clear()
            os.kill(supervised.engine_pid, signal.SIGKILL)

    with pytest.raises(EngineFailed, match="restarted 1 times in vain"):
        supervise(use, max_restarts=1)


def test_an_engine_that_cannot_be_spawned_for_a_moment_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "engine"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.server.scripted_engine "$@"\n')
    program.chmod(0o700)

    async def use(supervised: Supervised) -> None:
        await supervised.up.wait()
        stream = supervised.client.submit((1, 2, 3), SamplingParams(max_tokens=60, temperature=0.0))
        program.rename(tmp_path / "elsewhere")
        os.kill(supervised.engine_pid, signal.SIGKILL)
        assert await supervised.told.get() == "the engine was killed by SIGKILL"
        assert (await supervised.told.get()).startswith("the engine could not be started: [Errno 2] No such file")
        (tmp_path / "elsewhere").rename(program)
        tokens = [delta.token_id async for delta in deltas_of(stream)]
        stream.close()
        assert tokens == list((SCRIPT.encode() * 2)[:60])

    supervise(use, command=(str(program),))


def test_spawning_in_vain_uses_up_restarts(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="the engine could not be started"):
        supervise(never, command=(str(tmp_path / "missing"),))

    async def use(supervised: Supervised) -> None:
        await supervised.up.wait()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            os.kill(supervised.engine_pid, signal.SIGKILL)
            await never(supervised)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(EngineFailed, match=r"Too many open files.*; it was restarted 2 times in vain"):
        supervise(use, max_restarts=2)


def test_a_model_that_is_refused_at_a_restart_is_the_reason_that_is_given() -> None:
    reasons: list[str] = []

    async def use(supervised: Supervised) -> None:
        await supervised.up.wait()
        os.kill(supervised.engine_pid, signal.SIGKILL)
        try:
            await asyncio.Event().wait()
        finally:
            reasons.extend(supervised.reasons)

    with pytest.raises(EngineFailed, match="this model is refused; it was restarted 2 times in vain"):
        supervise(use, model="refused later", max_restarts=2)
    assert reasons == ["the engine was killed by SIGKILL", "this model is refused", "this model is refused"]


def test_engines_that_served_before_they_died_are_no_restarts_in_vain() -> None:
    async def use(supervised: Supervised) -> None:
        for _ in range(3):
            await supervised.up.wait()
            stream = supervised.client.submit((1, 2, 3), SamplingParams(max_tokens=2, temperature=0.0))
            assert len([delta async for delta in deltas_of(stream)]) == 2
            stream.close()
            supervised.up.clear()
            os.kill(supervised.engine_pid, signal.SIGKILL)
        await supervised.up.wait()

    supervise(use, max_restarts=1)
