"""What a device was seen to do is taken apart so that it can be put together again."""

from array import array

import pytest

from sarathid.costmodel.correction import Regime
from sarathid.executor.pace import RegimePace
from sarathid.server.fitted_pace import fit_pace
from sarathid.telemetry.recent_load import SliceOfLoad

DECODES, CHUNKS = Regime(True, 0), Regime(True, 7)


def doubles(*values: float) -> "array[float]":
    return array("d", values)


def test_kinds_and_times_are_told_apart() -> None:
    """Chunks always take 1.5 times as long as decodes against the profile; from 105 s on all takes twice as long."""
    slices = [
        SliceOfLoad(100.0, factors={DECODES: doubles(*[1.0] * 20), CHUNKS: doubles(1.5, 1.5)}),
        SliceOfLoad(105.0, factors={DECODES: doubles(*[2.0] * 4), CHUNKS: doubles(3.0, 3.3)}),
        SliceOfLoad(110.0),
    ]
    correction, pace = fit_pace(slices, start_s=90.0)

    assert correction == 1.0
    assert pace is not None
    assert [level.from_s for level in pace.levels] == [10.0, 15.0]
    quiet, throttled = (level.factor for level in pace.levels)
    assert throttled / quiet == pytest.approx(2.0, rel=0.01)
    decodes, chunks = pace.regimes
    assert (decodes.has_decodes, decodes.size_class) == (True, 0)
    assert decodes.factors == pytest.approx([1.0] * 24)
    assert quiet * chunks.factors[0] == pytest.approx(1.5)
    assert throttled * chunks.factors[3] == pytest.approx(3.3)


def test_factors_and_levels_are_around_the_correction() -> None:
    correction, pace = fit_pace([SliceOfLoad(0.0, factors={DECODES: doubles(1.2, 1.3, 1.4)})], start_s=0.0)

    assert correction == 1.3
    assert pace is not None
    assert pace.levels[0].factor == 1.0
    assert pace.regimes == (RegimePace(has_decodes=True, size_class=0, factors=(1.2 / 1.3, 1.0, 1.4 / 1.3)),)


def test_without_an_iteration_the_profile_is_taken_as_it_is() -> None:
    assert fit_pace([SliceOfLoad(0.0), SliceOfLoad(5.0, factors={DECODES: doubles()})], start_s=0.0) == (1.0, None)
