"""What refused clients are told, from records and from an engine that recites."""

import asyncio

import msgspec
import pytest

from sarathid.clock import MonotonicClock, VirtualClock
from sarathid.engine.client import EngineClient
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import Blocker
from sarathid.server.explainer import Explainer
from sarathid.server.promises import StartPromises
from sarathid.server.retry_advice import RATES_WINDOW_S, RetryAdvice
from sarathid.telemetry.board import Board
from tests.factories import make_iteration
from tests.server.scripted_engine import scripted_engine
from tests.server.test_explainer import is_blocked_by, submit, until
from tests.telemetry.test_board import make_ended


def test_where_nobody_waits_it_is_the_time_until_one_of_those_who_run_ends() -> None:
    async def main() -> None:
        board, clock, engine = Board(), VirtualClock(100.0), EngineClient()
        advice = RetryAdvice(engine, board, clock)
        assert advice.seconds() == RATES_WINDOW_S  # nothing was seen in it

        board.observe(make_iteration(0, start_s=90.0, execute_s=9.0))
        for _ in range(4):
            board.observe(msgspec.structs.replace(make_ended(FinishReason.STOP), finished_s=95.0))
        assert advice.seconds() == RATES_WINDOW_S  # it was reckoned in this second
        clock.advance(1.0)
        assert advice.seconds() == 3  # 11 s for 4
        await engine.close()

    asyncio.run(main())


def test_where_some_wait_it_is_the_start_of_the_last() -> None:
    async def main() -> None:
        board, clock = Board(), MonotonicClock()
        async with scripted_engine(ends=False, pace_s=0.02) as engine:
            engine.subscribe(board.observe)
            streams = [submit(engine, num_prompt_tokens=300, max_tokens=200) for _ in range(5)]  # three fit
            await until(engine, is_blocked_by(Blocker.BLOCKS))
            explained = Explainer(engine, board, StartPromises(), clock).request(streams[-1].request_id)
            assert explained.wait is not None
            assert explained.wait.num_waiting == 2
            assert explained.wait.starts_in_s is not None
            assert explained.wait.starts_in_s > 2.0
            assert RetryAdvice(engine, board, clock).seconds() == pytest.approx(explained.wait.starts_in_s, abs=1.0)

    asyncio.run(main())
