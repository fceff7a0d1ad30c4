"""How a real device's iterations were seen to differ from their prediction, drawn again for a simulated one."""

import random
from bisect import bisect_right
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from sarathid.clock import Clock
from sarathid.costmodel.correction import Regime
from sarathid.costmodel.features import IterationFeatures
from sarathid.errors import ConfigError

Factor: TypeAlias = Annotated[float, Meta(gt=0.0, le=1e6)]


class RegimePace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times of iterations of one regime, as multiples of what was predicted."""

    has_decodes: bool
    size_class: Annotated[int, Meta(ge=0, le=256)]
    factors: Annotated[tuple[Factor, ...], Meta(min_length=1)]


class Level(NamedTuple):
    """From a moment of the run on, all iterations take so many times as long."""

    from_s: Annotated[float, Meta(ge=-1e9, le=1e9)]
    factor: Factor


class Pace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was seen of a device: the levels that it went through, in order of time, and what varied beside them."""

    regimes: Annotated[tuple[RegimePace, ...], Meta(min_length=1)]
    levels: tuple[Level, ...] = ()


class ObservedPace:
    """Goes through the levels again, at their times, and draws what varied beside them.

    That is one of the factors of an iteration's regime, or of the nearest in size where that was never seen.
    """

    def __init__(self, pace: Pace, seed: int, clock: Clock) -> None:
        self._seen = {Regime(found.has_decodes, found.size_class): found.factors for found in pace.regimes}
        self._nearest: dict[Regime, Regime] = {}
        self._levels = pace.levels
        self._start_s = clock.now_s()
        self._clock = clock
        self._random = random.Random(seed)

    def factor(self, features: IterationFeatures) -> float:
        """Return what the next iteration's time is multiplied by."""
        wanted = Regime.of(features)
        if wanted not in self._nearest:
            self._nearest[wanted] = min(self._seen, key=lambda seen: _distance(seen, wanted))
        return self._level() * self._random.choice(self._seen[self._nearest[wanted]])

    def _level(self) -> float:
        if not self._levels:
            return 1.0
        num_begun = bisect_right(self._levels, self._clock.now_s() - self._start_s, key=lambda level: level.from_s)
        return self._levels[max(0, num_begun - 1)].factor


def read_pace(path: Path) -> Pace:
    """Return the pace in a JSON file; raises `ConfigError` when it can't be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pace)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: {error}") from error


def _distance(one: Regime, other: Regime) -> tuple[int, bool]:
    return abs(one.size_class - other.size_class), one.has_decodes != other.has_decodes
