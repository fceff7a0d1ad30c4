"""Changes of the settings, from what an operator asks to what becomes of it, over an engine that recites."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sarathid.clock import VirtualClock
from sarathid.engine.client import EngineClient
from sarathid.errors import ControlRefused
from sarathid.protocol.changes import ChangeOrigin, Figures
from sarathid.protocol.control import ErrorCode, GetAudit, Retuned, SetBudget, SetPolicy, SetSLO, Undo
from sarathid.protocol.requests import SamplingParams
from sarathid.protocol.revisions import AuditEvent, Revision, RevisionState
from sarathid.protocol.slo import SLOChange
from sarathid.protocol.stats import SettingsChanged, StreamRecord, TokenGap
from sarathid.server.kept_settings import KeptSettings
from sarathid.server.retuning import MEASURE_S, Retuner
from sarathid.slo.guard import NUM_LOOKS
from sarathid.telemetry.audit_log import AuditLog
from sarathid.telemetry.board import Board
from tests.engine.reading import deltas_of
from tests.factories import make_iteration
from tests.server.scripted_engine import scripted_engine

ME = "1000/17/bash"
OTHER = "1001/18/bash"
WALL_S = 1_790_000_000.0


class Desk:
    """A retuner behind an engine, at a time that stands still until somebody moves it."""

    def __init__(self, engine: EngineClient, state_dir: Path, kept_names: frozenset[str] = frozenset()) -> None:
        self.engine = engine
        self.board = Board()
        self.clock = VirtualClock(time.monotonic())
        self.store = KeptSettings(state_dir)
        self.retuner = Retuner(
            engine, self.board, AuditLog(state_dir), self.store, kept_names, self.clock, lambda: WALL_S
        )
        assert engine.settings is not None
        self.retuner.begin(engine.settings)
        self.records: list[StreamRecord] = []
        for observer in (self.board.observe, self.retuner.observe, self.records.append):
            engine.subscribe(observer)

    @property
    def budget(self) -> int | str:
        assert self.engine.settings is not None
        return self.engine.settings.budget

    async def set_budget(self, budget: int, by: str = ME, **terms: Any) -> Retuned:
        return await self.retuner.change(SetBudget(budget=budget, **terms), by)

    async def undo(self, by: str = ME, **fields: Any) -> Retuned:
        return await self.retuner.change(Undo(**fields), by)

    async def look_after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.retuner.look()

    def see_gaps(self, tbt_s: float, num_gaps: int = 100) -> None:
        """Let every request wait so long for its next token, now."""
        gaps = tuple(TokenGap(number, tbt_s) for number in range(num_gaps))
        self.board.observe(make_iteration(start_s=self.clock.now_s(), execute_s=0.0, gaps=gaps))

    def revision(self, number: int) -> Revision:
        return next(found for found in self.retuner.history(0).revisions if found.revision == number)

    async def audited(self, **wanted: Any) -> list[tuple[AuditEvent, int, str]]:
        trail = await self.retuner.audit(GetAudit(**wanted))
        return [(entry.event, entry.revision.revision, entry.by) for entry in trail.entries]


def at_desk(tmp_path: Path, use: Callable[[Desk], Awaitable[None]], **engine: Any) -> None:
    async def main() -> None:
        async with scripted_engine(ends=False, **engine) as client:
            async with asyncio.timeout(20.0):
                await use(Desk(client, tmp_path / "state"))

    asyncio.run(main())


def test_a_change_is_in_the_history_and_in_the_audit_log_with_who_and_why(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        expected = Figures(window_s=300.0, tbt_p99_s=0.1, ttft_p50_s=0.2, ttft_p95_s=0.3, tokens_per_s=99.0)
        await desk.set_budget(64, reason="stalls", predicted=expected)
        revision = desk.revision(1)
        assert (revision.changed_by, revision.reason, revision.time_s) == (ME, "stalls", WALL_S)
        assert (revision.old.budget, revision.new.budget, revision.predicted) == ("auto", 64, expected)
        assert await desk.audited() == [(AuditEvent.STARTED, 0, "daemon"), (AuditEvent.CHANGED, 1, ME)]
        assert await desk.audited(by="1000") == await desk.audited(by="bash") == [(AuditEvent.CHANGED, 1, ME)]
        assert await desk.audited(by="100") == await desk.audited(since_s=WALL_S + 1) == []

    at_desk(tmp_path, use)


def test_a_change_that_follows_another_revision_than_expected_changes_nothing(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        await desk.set_budget(64, if_revision=0)
        for op in (SetBudget(budget=32, if_revision=0), Undo(if_revision=0)):
            with pytest.raises(ControlRefused, match="at revision 1, not 0") as refused:
                await desk.retuner.change(op, ME)
            assert refused.value.code == ErrorCode.CONFLICT
        assert desk.budget == 64

    at_desk(tmp_path, use)


def test_a_dry_run_says_what_would_change_and_is_checked(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        answer = await desk.set_budget(64, dry_run=True)
        assert (answer.old.budget, answer.new.budget, answer.new.revision, answer.iteration) == ("auto", 64, 1, None)
        for terms in ({"budget": 5}, {"budget": 64, "if_revision": 3}, {"budget": 64, "guard": "speed < 1"}):
            with pytest.raises(ControlRefused):
                await desk.retuner.change(SetBudget(dry_run=True, **terms), ME)
        assert desk.budget == "auto"

    at_desk(tmp_path, use)


def test_a_change_that_nobody_keeps_is_taken_back_in_time(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        await desk.set_budget(64, confirm_s=60.0)
        await desk.look_after(59.0)
        assert (desk.budget, desk.revision(1).state) == (64, RevisionState.ON_PROBATION)
        await desk.look_after(2.0)
        assert (desk.budget, desk.revision(1).state) == ("auto", RevisionState.EXPIRED)
        event = desk.records[-1]
        assert isinstance(event, SettingsChanged)
        assert (event.origin, event.undoes, event.changed_by) == (ChangeOrigin.EXPIRED, 1, "daemon")
        assert (await desk.audited())[-2:] == [(AuditEvent.CHANGED, 2, "daemon"), (AuditEvent.ENDED, 1, "daemon")]

    at_desk(tmp_path, use)


def test_a_change_that_is_kept_stays(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        await desk.set_budget(64, confirm_s=60.0)
        assert desk.retuner.keep(None, OTHER).revision == 1
        await desk.look_after(100.0)
        assert (desk.budget, desk.revision(1).state) == (64, RevisionState.KEPT)
        assert (await desk.audited())[-1] == (AuditEvent.ENDED, 1, OTHER)

    at_desk(tmp_path, use)


def test_a_broken_guard_takes_the_change_back_at_once(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        desk.see_gaps(0.05)
        await desk.set_budget(64, guard="tbt.p99 < 120ms", confirm_s=60.0)
        desk.see_gaps(0.3)
        for _ in range(NUM_LOOKS - 1):
            await desk.look_after(1.0)
        assert desk.revision(1).state is RevisionState.ON_PROBATION
        await desk.look_after(1.0)
        revision = desk.revision(1)
        assert (desk.budget, revision.state) == ("auto", RevisionState.GUARDED)
        assert revision.verdict.startswith("tbt.p99 < 120ms fails: ")

    at_desk(tmp_path, use)


def test_a_guard_that_holds_for_a_minute_lets_the_change_stay(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        await desk.set_budget(64, guard="tbt.p99 < 120ms")
        desk.see_gaps(0.05)
        await desk.look_after(59.0)
        assert desk.revision(1).state is RevisionState.ON_PROBATION
        await desk.look_after(2.0)
        assert (desk.budget, desk.revision(1).state) == (64, RevisionState.KEPT)

    at_desk(tmp_path, use)


def test_a_guard_that_is_broken_before_the_change_refuses_it(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        desk.see_gaps(0.3)
        with pytest.raises(ControlRefused, match="broken before the change: tbt < 120ms fails") as refused:
            await desk.set_budget(64, guard="tbt < 120ms")
        assert refused.value.code == ErrorCode.GUARD
        assert desk.budget == "auto"

    at_desk(tmp_path, use)


def test_an_undo_gives_back_the_values_as_a_new_revision(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        await desk.set_budget(64)
        await desk.retuner.change(SetPolicy(policy="prefill-first"), ME)
        await desk.retuner.change(SetSLO(slo=SLOChange(tbt_s=0.25)), ME)
        undone = await desk.undo(revision=1)
        assert (undone.new.revision, undone.new.budget, undone.new.policy) == (4, "auto", "prefill-first")
        assert desk.revision(1).state is RevisionState.UNDONE
        assert (await desk.undo()).new.slo == desk.revision(0).new.slo
        assert (await desk.undo()).new.policy == "stall-free"
        with pytest.raises(ControlRefused, match="no change to undo"):
            await desk.undo()

    at_desk(tmp_path, use)


def test_an_undo_of_anothers_change_has_to_be_meant(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        await desk.set_budget(64, by=OTHER)
        with pytest.raises(ControlRefused, match="is by 1001/18/bash") as refused:
            await desk.undo()
        assert refused.value.code == ErrorCode.NOT_PERMITTED
        await desk.undo(force=True)
        assert desk.budget == "auto"

    at_desk(tmp_path, use)


def test_what_stays_is_kept_for_the_next_daemon_and_what_is_on_probation_is_not(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        await desk.set_budget(64, confirm_s=60.0)
        assert desk.store.read() == {}
        await desk.retuner.change(SetSLO(slo=SLOChange(tbt_s=0.25)), ME)
        assert desk.store.read() == {"slo_tbt": "0.25s"}
        desk.retuner.keep(1, ME)
        assert desk.store.read() == {"slo_tbt": "0.25s", "token_budget": "64"}
        await desk.undo(revision=1)
        assert desk.store.read() == {"slo_tbt": "0.25s"}

    at_desk(tmp_path, use)


def test_what_an_earlier_daemon_kept_stays_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted_engine() as client:
            desk = Desk(client, tmp_path / "state", frozenset({"token_budget"}))
            await desk.retuner.change(SetPolicy(policy="prefill-first"), ME)
            assert desk.store.read() == {"token_budget": "auto", "policy": "prefill-first"}

    asyncio.run(main())


def test_a_revision_is_measured_until_the_next_or_for_some_minutes(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        await desk.set_budget(64)
        stream = desk.engine.submit((1, 2, 3), SamplingParams(temperature=0.0, max_tokens=20))
        async for _ in deltas_of(stream):
            pass
        stream.close()
        await desk.look_after(MEASURE_S - 1.0)
        assert desk.revision(1).measured is None
        await desk.look_after(5.0)
        measured = desk.revision(1).measured
        assert measured is not None
        assert measured.tokens_per_s == pytest.approx(20 / MEASURE_S, rel=0.05)
        assert measured.tbt_p99_s is not None
        assert measured.ttft_p95_s is not None
        assert (await desk.audited())[-1] == (AuditEvent.MEASURED, 1, "daemon")

        await desk.set_budget(32)
        await desk.set_budget(16)
        assert (desk.revision(1).measured, desk.revision(2).measured) == (measured, None)

    at_desk(tmp_path, use)


def test_a_change_that_is_due_while_no_engine_is_there_is_taken_back_when_one_is(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        await desk.set_budget(64, confirm_s=60.0)
        desk.engine.is_ready = False
        await desk.look_after(61.0)
        assert (desk.budget, desk.revision(1).state) == (64, RevisionState.ON_PROBATION)
        desk.engine.is_ready = True
        await desk.look_after(1.0)
        assert (desk.budget, desk.revision(1).state) == ("auto", RevisionState.EXPIRED)

    at_desk(tmp_path, use)


def test_a_change_asked_meanwhile_goes_before_what_is_taken_back(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        await desk.set_budget(64, confirm_s=60.0)
        later = asyncio.create_task(desk.set_budget(32))
        await asyncio.sleep(0)  # it is on its way
        await desk.look_after(61.0)
        await later
        await desk.look_after(1.0)
        assert (desk.budget, desk.revision(1).state) == (32, RevisionState.REPLACED)

    at_desk(tmp_path, use)
