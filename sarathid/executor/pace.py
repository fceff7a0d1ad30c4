"""How a real device's iterations were seen to differ from their prediction, drawn again for a simulated one."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from sarathid.costmodel.correction import Regime
from sarathid.costmodel.features import IterationFeatures
from sarathid.errors import ConfigError

Factor: TypeAlias = Annotated[float, Meta(gt=0.0, le=1e6)]


class RegimePace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times of iterations of one regime, as multiples of what was predicted."""

    has_decodes: bool
    prefill_bits: Annotated[int, Meta(ge=0, le=64)]
    factors: Annotated[tuple[Factor, ...], Meta(min_length=1)]


class ObservedPace:
    """Draws one of the factors of an iteration's regime, or of the nearest in size where that was never seen."""

    def __init__(self, regimes: Iterable[RegimePace], seed: int) -> None:
        """`regimes` are at least one."""
        self._seen = {Regime(found.has_decodes, found.prefill_bits): found.factors for found in regimes}
        assert self._seen
        self._nearest: dict[Regime, Regime] = {}
        self._random = random.Random(seed)

    def factor(self, features: IterationFeatures) -> float:
        """Return what the next iteration's time is multiplied by."""
        wanted = Regime.of(features)
        if wanted not in self._nearest:
            self._nearest[wanted] = min(self._seen, key=lambda seen: _distance(seen, wanted))
        return self._random.choice(self._seen[self._nearest[wanted]])


def read_pace(path: Path) -> tuple[RegimePace, ...]:
    """Return the regimes in a JSON file; raises `ConfigError` when it can't be read or has none."""
    try:
        regimes = msgspec.json.decode(path.read_bytes(), type=tuple[RegimePace, ...])
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not regimes:
        raise ConfigError(f"{path}: there is no regime in it")
    return regimes


def _distance(one: Regime, other: Regime) -> tuple[int, bool]:
    return abs(one.prefill_bits - other.prefill_bits), one.has_decodes != other.has_decodes
