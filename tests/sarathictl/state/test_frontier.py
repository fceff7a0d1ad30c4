"""Which budgets are held beside each other, and what is said of each."""

import msgspec

from sarathictl.state.frontier import Trial, budgets_to_try, trials_of
from sarathid.protocol.plan import Forecast
from sarathid.protocol.slo import SLO
from tests.factories import Engine
from tests.sarathictl.plans import FORECAST, OBSERVED, make_planned
from tests.sarathictl.records import make_settings

INFO = msgspec.structs.replace(Engine.info(), tile=128, min_token_budget=16, max_token_budget=8192)


def test_the_tiles_doublings_nearest_to_the_budget_in_force_are_tried_and_auto() -> None:
    assert budgets_to_try(make_settings(512), INFO) == (128, 256, 512, 1024, 2048, 4096, "auto")
    assert budgets_to_try(make_settings(8192, tbt_s=None), INFO) == (256, 512, 1024, 2048, 4096, 8192)


def test_no_budget_is_tried_that_is_not_allowed() -> None:
    narrow = msgspec.structs.replace(INFO, tile=1, min_token_budget=48, max_token_budget=200)
    assert budgets_to_try(make_settings(48, tbt_s=None), narrow) == (48, 96, 192)


def test_what_is_in_force_is_told_first_unless_it_is_tried() -> None:
    now, tried = trials_of(make_planned(make_settings(384)))
    assert now == Trial(
        budget=2048, is_now=True, tbt_s=0.2546, ttft_s=0.64, num_stalls=327, holds_tbt=False, holds_ttft=True
    )
    assert (tried.budget, tried.is_now, tried.holds_tbt, tried.holds_ttft) == (384, False, True, False)

    planned = make_planned(forecasts=(Forecast(settings=make_settings(2048), figures=OBSERVED),))
    assert [(trial.budget, trial.is_now) for trial in trials_of(planned)] == [(2048, True)]


def test_without_targets_nothing_is_held_or_missed() -> None:
    free = msgspec.structs.replace(make_settings(384), slo=SLO())
    (_, tried) = trials_of(make_planned(forecasts=(Forecast(settings=free, figures=FORECAST),)))
    assert (tried.holds_tbt, tried.holds_ttft) == (None, None)
