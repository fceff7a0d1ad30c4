"""A forecast beside what was observed, and what was said against what came."""

import msgspec

from sarathictl.state.comparison import Compared, compare, said_and_measured
from sarathid.protocol.slo import SLO
from tests.sarathictl.plans import FORECAST, OBSERVED, make_planned


def compared(name: str) -> Compared:
    return next(found for found in compare(make_planned()) if found.name == name)


def test_change_is_counted_from_the_replay_and_error_from_what_was_observed() -> None:
    tbt = compared("TBT P99")
    assert (tbt.observed, tbt.replayed, tbt.expected) == ("268 ms", "255 ms", "94 ms")
    assert tbt.change == 0.094 / 0.2546 - 1.0
    assert tbt.error == 0.2546 / 0.268 - 1.0


def test_each_latency_is_held_to_its_own_target() -> None:
    assert [compared(name).is_held for name in ("TBT P99", "TTFT P95", "TTFT P50")] == [True, False, None]


def test_a_figure_that_the_model_does_not_tell_is_not_trusted() -> None:
    planned = make_planned(replayed=msgspec.structs.replace(OBSERVED, tbt_p99_s=0.1))
    assert [found.name for found in compare(planned) if not found.is_trusted] == ["TBT P99"]


def test_what_was_said_stands_beside_what_was_measured() -> None:
    slo = SLO(tbt_s=0.1, ttft_s=2.0)
    assert list(said_and_measured(FORECAST, OBSERVED, slo)) == [
        ("TBT P99", "94 ms said, 268 ms measured", False),
        ("TTFT P95", "2.4 s said, 640 ms measured", True),
    ]
    assert list(said_and_measured(None, None, slo)) == []
