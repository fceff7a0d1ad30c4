"""A thousand changes of budget, policy and targets while requests run: none is lost, no token differs."""

import asyncio
import random
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sarathid.engine.client import EngineClient
from sarathid.errors import ControlRefused
from sarathid.protocol.control import ErrorCode
from sarathid.protocol.requests import Request
from sarathid.protocol.slo import SLOChange
from sarathid.protocol.stats import IterationStats, SettingsChanged
from sarathid.protocol.step import SettingsApplied
from tests.engine.client_session import Session, read, running
from tests.factories import Engine, expected_output, make_request

NUM_CHANGES = 1000
NUM_TOKENS = 100


@dataclass
class Answers:
    """What became of the changes that were asked for."""

    applied: list[SettingsApplied] = field(default_factory=list)
    refused: list[ControlRefused] = field(default_factory=list)

    async def take(self, change: Awaitable[SettingsApplied]) -> None:
        try:
            self.applied.append(await change)
        except ControlRefused as refused:
            self.refused.append(refused)


def changes(seed: int) -> Iterator[dict[str, Any]]:
    """Yield changes of one setting each, without end."""
    chance = random.Random(seed)
    while True:
        yield chance.choice(
            (
                {"budget": chance.choice((1, 3, 16, 64, 4096, "auto", "profiled"))},
                {"policy": chance.choice(("stall-free", "prefill-first"))},
                {"slo": SLOChange(tbt_s=chance.choice((None, 0.01, 0.1, 5.0)))},
                {"slo": SLOChange(ttft_s=chance.choice((None, 1.0)))},
            )
        )


def make_engine() -> Engine:
    return Engine(num_blocks=200, max_model_len=256, token_budget=16, max_batches_in_flight=2)


def requests() -> list[Request]:
    return [make_request(number, num_prompt_tokens=10 * number, max_tokens=NUM_TOKENS) for number in range(1, 13)]


async def change_all(session: Session, answers: Answers, num_changes: int, seed: int) -> None:
    """Ask for changes in bursts, each of them behind one more iteration."""
    found = changes(seed)
    while num_changes:
        num_iterations = len(session.of(IterationStats))
        burst = min(num_changes, 5)
        num_changes -= burst
        await asyncio.gather(*(answers.take(session.client.change_settings(**next(found))) for _ in range(burst)))
        await session.until(lambda: len(session.of(IterationStats)) > num_iterations)  # noqa: B023


def check_revisions(session: Session, answers: Answers) -> None:
    """Every revision is in force from its iteration to the next one's, and each was promised to whoever asked."""
    published = session.of(SettingsChanged)
    assert [changed.revision for changed in published] == list(range(1, len(published) + 1))
    promised = {(applied.new.revision, applied.iteration) for applied in answers.applied}
    assert promised == {(changed.revision, changed.iteration) for changed in published}
    first_iterations = [0, *(changed.iteration for changed in published)]
    assert first_iterations == sorted(first_iterations)
    for stats in session.of(IterationStats):
        in_force = max(n for n, iteration in enumerate(first_iterations) if iteration <= stats.sequence_number)
        assert stats.revision == in_force


class Load:
    """The same requests round after round, each round's outputs held against an undisturbed run."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._expected = [expected_output(request, NUM_TOKENS) for request in requests()]
        self._is_enough = False
        self._running = asyncio.create_task(self._run())

    async def end(self) -> None:
        """Return when the last round is over; fails if any output differed."""
        self._is_enough = True
        async with asyncio.timeout(60.0):
            await self._running

    async def _run(self) -> None:
        while not self._is_enough:
            streams = [self._client.submit(request.prompt_token_ids, request.sampling) for request in requests()]
            assert await asyncio.gather(*map(read, streams)) == self._expected
            for stream in streams:
                stream.close()


def test_a_thousand_changes_under_load_change_no_token() -> None:
    async def main() -> None:
        session, answers = Session(EngineClient()), Answers()
        async with running(session.client, make_engine()):
            load = Load(session.client)
            await change_all(session, answers, NUM_CHANGES, seed=1)
            await load.end()
        await session.client.close()
        assert (len(answers.applied), answers.refused) == (NUM_CHANGES, [])
        assert session.of(IterationStats)[-1].revision == NUM_CHANGES
        check_revisions(session, answers)

    asyncio.run(main())


def test_a_change_is_in_force_or_refused_though_engines_die() -> None:
    async def main() -> None:
        session, answers = Session(EngineClient()), Answers()
        load: Load | None = None
        for engine in range(4):
            async with running(session.client, make_engine()):
                load = load or Load(session.client)
                await change_all(session, answers, 50, seed=engine)
                cut_off = [
                    asyncio.create_task(answers.take(session.client.change_settings(budget=tokens)))
                    for tokens in range(1, 201)
                ]
                await asyncio.sleep(0)  # they are sent, and the engine dies before it has answered them all
            await asyncio.gather(*cut_off)
        async with running(session.client, make_engine()):
            await change_all(session, answers, 10, seed=9)
            assert load is not None
            await load.end()
        await session.client.close()
        assert len(answers.applied) + len(answers.refused) == 4 * 250 + 10
        assert {refused.code for refused in answers.refused} == {ErrorCode.UNAVAILABLE}
        check_revisions(session, answers)

    asyncio.run(main())


def test_a_condition_counts_the_changes_that_are_on_their_way() -> None:
    async def main() -> None:
        client = EngineClient()
        async with running(client, make_engine()):
            answers = await asyncio.gather(
                client.change_settings(budget=32, if_revision=0),
                client.change_settings(budget=64, if_revision=0),
                client.change_settings(budget=128, if_revision=1),
                client.change_settings(slo=SLOChange(tbt_s=0.25), if_revision=3),
                client.change_settings(slo=SLOChange(tbt_s=0.25)),
                client.change_settings(slo=SLOChange(ttft_s=2.0), if_revision=3),
                return_exceptions=True,
            )
            assert client.settings is not None
            assert (client.settings.revision, client.settings.token_budget) == (4, 128)
            assert (client.settings.slo.tbt_s, client.settings.slo.ttft_s) == (0.25, 2.0)
        await client.close()
        codes = [answer.code if isinstance(answer, ControlRefused) else None for answer in answers]
        assert codes == [None, ErrorCode.CONFLICT, None, ErrorCode.CONFLICT, None, None]

    asyncio.run(main())
