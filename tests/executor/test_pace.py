"""A pace draws from what was seen of iterations like this one, and refuses files that say nothing."""

from pathlib import Path

import pytest

from sarathid.clock import VirtualClock
from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.errors import ConfigError
from sarathid.executor.pace import Level, ObservedPace, Pace, RegimePace, read_pace

DECODES = IterationFeatures(4, 400)


def with_prefill(num_tokens: int) -> IterationFeatures:
    return IterationFeatures(4, 400, (ChunkShape(num_tokens, 0),))


def test_factors_come_from_the_regime_or_from_the_nearest_in_size() -> None:
    regimes = (
        RegimePace(has_decodes=True, size_class=0, factors=(1.0, 1.1)),
        RegimePace(has_decodes=True, size_class=8, factors=(2.0,)),
        RegimePace(has_decodes=False, size_class=8, factors=(3.0,)),
    )
    pace = ObservedPace(Pace(regimes=regimes), 1, VirtualClock())

    assert {pace.factor(DECODES) for _ in range(50)} == {1.0, 1.1}
    assert pace.factor(with_prefill(200)) == pace.factor(with_prefill(2000)) == 2.0
    assert pace.factor(IterationFeatures(0, 0, (ChunkShape(2000, 0),))) == 3.0


def test_levels_come_again_at_their_times() -> None:
    clock = VirtualClock(100.0)
    regime = RegimePace(has_decodes=True, size_class=0, factors=(2.0,))
    pace = ObservedPace(Pace(regimes=(regime,), levels=(Level(5.0, 1.5), Level(10.0, 0.5))), 1, clock)
    seen = []
    for _ in range(4):
        seen.append(pace.factor(DECODES))
        clock.advance(4.0)

    assert seen == [3.0, 3.0, 3.0, 1.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"regimes": []}',
        '{"regimes": [{"has_decodes": true, "size_class": 0, "factors": []}]}',
        '{"regimes": [{"has_decodes": true, "size_class": 0, "factors": [-1.0]}]}',
    ],
)
def test_a_file_that_says_nothing_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "pace.json"
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"pace\.json"):
        read_pace(path)
