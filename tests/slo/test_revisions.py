from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarathid.errors import ControlRefused
from sarathid.protocol.changes import ChangeOrigin, Figures
from sarathid.protocol.control import MAX_REVISIONS
from sarathid.protocol.revisions import Revision, RevisionState
from sarathid.protocol.slo import SLO, SLOChange
from sarathid.protocol.stats import EngineSettings, SettingsChanged
from sarathid.slo.guard import GuardWatch
from sarathid.slo.revisions import Retuning, Revisions, values_of

START = EngineSettings(revision=0, token_budget=128, policy="stall-free", slo=SLO(tbt_s=0.1))


class Book:
    """Revisions, and an engine that puts everything in force at once."""

    def __init__(self) -> None:
        self.revisions = Revisions(START, wall_s=1000.0)
        self.now_s = 0.0

    @property
    def in_force(self) -> dict[str, Any]:
        return values_of(self.revisions.newest.new)

    @property
    def states(self) -> list[RevisionState]:
        return [revision.state for revision in self.revisions.since(1)]

    def make(self, retuning: Retuning, **note: Any) -> list[Revision]:
        new = retuning.applied_to(self.revisions.newest.new)
        changed = SettingsChanged(
            time_s=self.now_s,
            iteration=10 * new.revision,
            revision=new.revision,
            token_budget=new.token_budget,
            policy=new.policy,
            slo=new.slo,
            budget_mode=new.budget_mode,
            names=retuning.names,
            **note,
        )
        return list(self.revisions.record(changed, 1000.0 + self.now_s, GuardWatch((), {})))

    def take_back(self, number: int, origin: ChangeOrigin = ChangeOrigin.EXPIRED) -> list[Revision]:
        return self.make(self.revisions.reversal(number), undoes=number, origin=origin, reason="because")


def budget(tokens: int) -> Retuning:
    return Retuning(budget=tokens)


def test_a_change_is_a_revision_that_follows_the_one_before() -> None:
    book = Book()
    (revision,) = book.make(budget(256), changed_by="0/1/me", reason="try it")

    assert (revision.revision, revision.iteration, revision.changed_by, revision.reason) == (1, 10, "0/1/me", "try it")
    assert (revision.old, revision.new.token_budget, revision.state) == (START, 256, RevisionState.KEPT)
    assert book.revisions.settled == book.in_force


def test_an_undone_revision_gives_back_what_it_replaced_and_nothing_else() -> None:
    book = Book()
    book.make(budget(256))
    book.make(Retuning(policy="prefill-first"))
    undoing, undone = book.take_back(1, ChangeOrigin.UNDO)

    assert book.in_force == values_of(START) | {"policy": "prefill-first"}
    assert (undoing.revision, undoing.undoes) == (3, 1)
    assert (undone.revision, undone.state, undone.verdict) == (1, RevisionState.UNDONE, "because")
    assert book.revisions.settled == book.in_force


def test_one_target_is_undone_without_the_other() -> None:
    book = Book()
    book.make(Retuning(slo=SLOChange(tbt_s=0.2)))
    book.make(Retuning(slo=SLOChange(ttft_s=2.0)))
    book.take_back(1, ChangeOrigin.UNDO)

    assert (book.in_force["tbt_s"], book.in_force["ttft_s"]) == (0.1, 2.0)


def test_what_was_changed_again_is_not_undone_over_it() -> None:
    book = Book()
    book.make(budget(256))
    book.make(budget(512))

    with pytest.raises(ControlRefused, match="no longer in force"):
        book.revisions.reversal(1)


def test_undoing_again_and_again_goes_further_back() -> None:
    book = Book()
    book.make(budget(256))
    book.make(budget(512))
    undone = []
    for _ in range(2):
        undone.append(book.revisions.last_asked())
        book.take_back(undone[-1], ChangeOrigin.UNDO)

    assert undone == [2, 1]
    assert book.in_force == values_of(START)
    with pytest.raises(ControlRefused, match="no change to undo"):
        book.revisions.last_asked()


def test_a_revision_that_changed_nothing_stands_in_no_undos_way() -> None:
    book = Book()
    book.make(budget(256))
    book.make(budget(256))

    assert book.revisions.last_asked() == 1


def test_a_change_on_probation_is_not_settled_before_it_is_kept() -> None:
    book = Book()
    book.make(budget(256), confirm_s=60.0)
    assert (book.in_force["budget"], book.revisions.settled["budget"]) == (256, 128)
    (probation,) = book.revisions.probations
    assert (probation.ends_s, probation.must_be_kept) == (60.0, True)

    assert book.revisions.keep(None).revision == 1
    assert (book.in_force["budget"], book.revisions.settled["budget"]) == (256, 256)
    assert book.states == [RevisionState.KEPT]
    with pytest.raises(ControlRefused, match="revision 1 is not on probation"):
        book.revisions.keep(1)


def test_a_change_on_probation_is_taken_back() -> None:
    book = Book()
    book.make(budget(256), confirm_s=60.0)
    book.take_back(1)

    assert book.in_force == values_of(START)
    assert book.states == [RevisionState.EXPIRED, RevisionState.KEPT]
    assert book.revisions.probations == ()


def test_of_two_probations_over_one_setting_the_last_settled_value_comes_back() -> None:
    book = Book()
    book.make(budget(256), confirm_s=60.0)
    _, replaced = book.make(budget(512), confirm_s=60.0)
    assert (replaced.revision, replaced.state) == (1, RevisionState.REPLACED)
    book.take_back(2)

    assert book.in_force == values_of(START)


def test_a_change_over_one_on_probation_stays() -> None:
    book = Book()
    book.make(budget(256), confirm_s=60.0)
    book.make(budget(512))

    assert book.revisions.probations == ()
    assert book.revisions.settled["budget"] == 512


def test_naming_the_value_that_is_on_probation_makes_it_stay() -> None:
    book = Book()
    book.make(budget(256), confirm_s=60.0)
    book.make(budget(256))

    assert book.revisions.probations == ()
    assert book.revisions.settled["budget"] == 256


def test_a_revision_that_is_being_taken_back_is_not_kept() -> None:
    book = Book()
    book.make(budget(256), confirm_s=60.0)
    book.revisions.probations[0].is_ending = True

    with pytest.raises(ControlRefused, match="taken back"):
        book.revisions.keep(1)


def test_a_guarded_change_without_a_time_to_confirm_is_on_probation_for_a_minute() -> None:
    book = Book()
    book.make(budget(256), guard="tbt < 1s")

    (probation,) = book.revisions.probations
    assert (probation.ends_s, probation.must_be_kept) == (60.0, False)


def test_a_long_life_takes_bounded_memory_and_forgets_no_probation() -> None:
    book = Book()
    book.make(Retuning(policy="prefill-first"), confirm_s=60.0)
    for tokens in range(2 * MAX_REVISIONS):
        book.make(budget(16 + tokens))

    assert len(book.revisions.since(0)) == MAX_REVISIONS
    assert book.revisions.keep(1).state is RevisionState.KEPT
    with pytest.raises(ControlRefused, match="there is no revision 2"):
        book.revisions.reversal(2)


def test_what_was_measured_stands_beside_what_was_expected() -> None:
    book = Book()
    figures = Figures(window_s=300.0, tbt_p99_s=0.1, ttft_p50_s=None, ttft_p95_s=None, tokens_per_s=5.0)
    book.make(budget(256), predicted=figures)
    book.revisions.measure(1, figures)

    (revision,) = book.revisions.since(1)
    assert (revision.predicted, revision.measured) == (figures, figures)


RETUNINGS = st.one_of(
    st.builds(Retuning, budget=st.sampled_from([64, 256, "auto", "profiled"])),
    st.builds(Retuning, policy=st.sampled_from(["stall-free", "prefill-first"])),
    st.builds(Retuning, slo=st.builds(SLOChange, tbt_s=st.sampled_from([None, 0.1, 0.2]))),
    st.builds(Retuning, slo=st.builds(SLOChange, ttft_s=st.sampled_from([None, 1.0]))),
)
STEPS = st.lists(st.tuples(st.sampled_from(["change", "try", "keep", "expire", "undo"]), RETUNINGS), max_size=30)


@given(STEPS)
def test_when_every_probation_has_ended_what_is_settled_is_in_force(steps: list[tuple[str, Retuning]]) -> None:
    book = Book()
    for what, retuning in steps:
        on_probation = [probation.revision for probation in book.revisions.probations]
        match what:
            case "change":
                book.make(retuning)
            case "try":
                book.make(retuning, confirm_s=60.0)
            case "keep" if on_probation:
                book.revisions.keep(on_probation[0])
            case "expire" if on_probation:
                book.take_back(on_probation[0])
            case "undo":
                try:
                    book.take_back(book.revisions.last_asked(), ChangeOrigin.UNDO)
                except ControlRefused:
                    continue
        owned = [name for probation in book.revisions.probations for name in probation.names]
        assert len(owned) == len(set(owned))
        free = set(book.in_force) - set(owned)
        assert {name: book.in_force[name] for name in free} == {name: book.revisions.settled[name] for name in free}
    settled = dict(book.revisions.settled)
    while book.revisions.probations:
        book.take_back(book.revisions.probations[0].revision)
    assert book.in_force == settled
