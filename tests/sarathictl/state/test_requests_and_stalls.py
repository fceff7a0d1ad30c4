"""Which requests are shown in which order, one request's part in the records, and stalls by cause."""

import msgspec
import pytest

from sarathictl.state.engine_state import MAX_RECENT, EngineState
from sarathictl.state.forecast_record import ForecastRecord, record_of
from sarathictl.state.request_life import life_of
from sarathictl.state.request_order import RequestOrder, SortKey, read_filter
from sarathictl.state.stall_causes import CauseTotal, totals_by_cause
from sarathid.errors import ConfigError
from sarathid.protocol.control import RequestState
from sarathid.protocol.stats import StallCause
from sarathid.tape.request_table import RequestRow
from tests.sarathictl.plans import FORECAST, OBSERVED
from tests.sarathictl.reasons import make_stall_reasons
from tests.sarathictl.records import START_S, PaperEngine, make_settings, make_snapshot
from tests.sarathictl.revisions import make_revision

ROWS = (
    RequestRow(request_id=1, state=RequestState.DECODE, client="web-1", tbt_max_s=0.4, num_stalls=3),
    RequestRow(request_id=2, state=RequestState.WAITING, client="batch", num_prompt_tokens=900, priority=-3),
    RequestRow(request_id=3, state=RequestState.DECODE, client="web-2", tbt_max_s=0.1, num_stalls=1),
)


def ids(order: RequestOrder) -> list[int]:
    return [row.request_id for row in order.applied_to(ROWS)]


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("", [1, 2, 3]),
        ("state:decode", [1, 3]),
        ("client:web stalls>1", [1]),
        ("worst>200ms", [1]),
        ("prompt>100", [2]),
        ("2", [2]),
        ("batch", [2]),
    ],
)
def test_a_filter_passes_what_every_word_of_it_asks_for(text: str, passed: list[int]) -> None:
    assert ids(RequestOrder(filter_text=text)) == passed


@pytest.mark.parametrize("text", ["state:odd", "colour:red", "stalls>few", "worst>200"])
def test_a_filter_that_cannot_be_read_is_a_mistake(text: str) -> None:
    with pytest.raises(ConfigError):
        read_filter(text)


def test_quantities_are_sorted_largest_first_and_names_from_a_on() -> None:
    assert ids(RequestOrder(key=SortKey.WORST)) == [1, 3, 2]
    assert ids(RequestOrder(key=SortKey.WORST, is_reversed=True)) == [2, 3, 1]
    assert ids(RequestOrder(key=SortKey.CLIENT)) == [2, 1, 3]
    assert ids(RequestOrder(key=SortKey.PRIORITY)) == [2, 1, 3]
    assert ids(RequestOrder(is_reversed=True)) == [3, 2, 1]
    assert str(RequestOrder(key=SortKey.STALLS, filter_text="web")) == "sort STALLS ▾ · filter web"


@pytest.mark.parametrize("key", list(SortKey))
def test_every_column_can_be_sorted_by(key: SortKey) -> None:
    assert sorted(ids(RequestOrder(key=key))) == [1, 2, 3]


def test_a_request_has_its_own_times_and_both_sides_of_stalls() -> None:
    engine = PaperEngine(make_settings(256))
    state = EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    records = list(engine.run(START_S + 8.0))
    for record in records:
        state.fold(record)
    view = state.view(engine.now_s)
    victim, culprit = life_of(1, view), life_of(9, view)
    folded = next(request for request in engine.requests if request.request_id == 1)
    assert len(view.recent) <= MAX_RECENT
    assert list(victim.tbts_s) == folded.gaps[-len(victim.tbts_s) :]
    assert len(victim.suffered) == len(view.stalls) > 0
    assert victim.caused == ()
    assert culprit.caused
    assert all(stall.chunk is not None and stall.chunk.request_id == 9 for stall in culprit.caused)


def test_stalls_are_added_up_by_cause_the_worst_first() -> None:
    stall = make_stall_reasons().stall
    collected = msgspec.structs.replace(stall, victims=stall.victims[1:], cause=StallCause.GARBAGE_COLLECTION)
    both_s = 0.412 + 0.3
    assert totals_by_cause([collected, stall, stall]) == [
        CauseTotal(StallCause.PREFILL, 2, 4, both_s + both_s, 0.412),
        CauseTotal(StallCause.GARBAGE_COLLECTION, 1, 1, 0.3, 0.3),
    ]
    assert totals_by_cause([]) == []


def test_a_forecast_came_true_when_what_was_measured_is_near_what_was_said() -> None:
    wrong = make_revision(2, predicted=FORECAST, measured=OBSERVED)
    right = make_revision(3, predicted=FORECAST, measured=FORECAST)
    assert record_of([make_revision(1), wrong, right, make_revision(4, predicted=FORECAST)]) == ForecastRecord(2, 1)
