"""How the newest change stands, when to ask about it again, and what a stall proposes."""

import msgspec
import pytest

from sarathictl.state.engine_state import EngineState
from sarathictl.state.engine_view import EngineView
from sarathictl.state.fix import fix_form
from sarathictl.state.known_history import KnownHistory
from sarathictl.state.standing import Standing, standing_of
from sarathid.errors import ConfigError
from sarathid.protocol.control import SetBudget, SetPolicy
from sarathid.protocol.revisions import Revision, RevisionState
from sarathid.protocol.stats import IterationStats
from tests.sarathictl.plans import OBSERVED
from tests.sarathictl.reasons import make_stall_reasons
from tests.sarathictl.records import START_S, PaperEngine, make_settings, make_snapshot
from tests.sarathictl.revisions import make_revision


def view_at(now_s: float, policy: str = "stall-free") -> EngineView:
    engine = PaperEngine(make_settings(256))
    iterations = tuple(record for record in engine.run(now_s) if isinstance(record, IterationStats))
    settings = make_settings(256, policy=policy)
    return EngineState.from_snapshot(make_snapshot(settings, iterations=iterations), now_s).view(now_s)


def newest(now_s: float, **changed: object) -> Standing:
    standing = standing_of((make_revision(1), make_revision(2, **changed)), view_at(now_s), 0.0)
    assert standing is not None
    return standing


def test_nothing_stands_before_the_first_change() -> None:
    assert standing_of((), view_at(START_S), 0.0) is None
    assert standing_of((make_revision(1),), view_at(START_S), 0.0) is None


def test_a_change_on_probation_counts_down_to_zero() -> None:
    assert newest(START_S + 13.0).due_s == 47.0
    assert newest(START_S + 61.0).due_s == 0.0
    assert newest(START_S + 13.0, state=RevisionState.KEPT).due_s is None


def test_what_is_measured_began_after_the_change_and_is_the_daemons_own_once_it_has_it() -> None:
    assert newest(START_S + 9.0).measured is None
    seen = newest(START_S + 13.0).measured
    assert seen is not None
    assert (seen.window_s, seen.tbt_p99_s) == (10.0, view_at(START_S + 13.0).tbt[0].p99_s)
    assert newest(START_S + 13.0, measured=OBSERVED).measured is OBSERVED


def history(*revisions: Revision) -> KnownHistory:
    known = KnownHistory()
    assert known.is_due(2, START_S)
    known.revisions = revisions
    return known


def test_history_is_asked_for_again_when_the_revision_moves_and_each_second_of_a_probation() -> None:
    on_probation = history(make_revision(1), make_revision(2))
    assert [on_probation.is_due(2, START_S + age_s) for age_s in (0.5, 1.0, 1.5, 2.0)] == [False, True, False, True]
    kept = history(make_revision(1), msgspec.structs.replace(make_revision(2), state=RevisionState.KEPT))
    assert [kept.is_due(revision, START_S + 9.0) for revision in (2, 3, 3)] == [False, True, False]


@pytest.mark.parametrize(
    ("policy", "op"), [("stall-free", SetBudget(budget=384)), ("prefill-first", SetPolicy(policy="stall-free"))]
)
def test_a_stall_proposes_what_would_have_prevented_it(policy: str, op: object) -> None:
    form = fix_form(make_stall_reasons().stall, view_at(START_S, policy))
    assert form.read(form.initial) == op
    assert form.reason.startswith("17 +1 more stalled 412 ms")


def test_a_stall_that_no_budget_prevents_proposes_nothing() -> None:
    helpless = msgspec.structs.replace(make_stall_reasons().stall, preventing_budget=None)
    with pytest.raises(ConfigError, match="no budget would have"):
        fix_form(helpless, view_at(START_S))
