"""How fast a model's rotary embedding turns: read from the rope fields of config.json, whatever their vintage."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import msgspec
from msgspec import Meta

from sarathid.errors import ModelRefused

_Positive = Annotated[float, Meta(gt=0.0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeConfig:
    """Rotary embedding: pair i of a head turns by `position * theta ** (-2i / head_dim) / factors[i]`.

    `frequency_factors` [head_dim // 2] is None where no scaling is in force. Cosines and sines are
    multiplied by `amplitude`.
    """

    theta: float
    frequency_factors: tuple[float, ...] | None = None
    amplitude: float = 1.0

    def __post_init__(self) -> None:
        for value in (self.theta, self.amplitude, *(self.frequency_factors or ())):
            if not (math.isfinite(value) and value > 0.0):
                raise ModelRefused(f"a rotary embedding is described by positive numbers, not by {value}")


class RopeJson(msgspec.Struct):
    """`rope_scaling` of older configurations, `rope_parameters` of newer ones."""

    rope_type: str | None = None
    type: str | None = None
    rope_theta: _Positive | None = None
    factor: _Positive = 1.0
    low_freq_factor: _Positive = 1.0
    high_freq_factor: _Positive = 4.0
    original_max_position_embeddings: _Positive | None = None
    beta_fast: _Positive = 32.0
    beta_slow: _Positive = 1.0
    attention_factor: _Positive | None = None
    mscale: float | None = None
    truncate: bool = True
    partial_rotary_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class _Rope:
    """The rope fields with all that their defaults hang on."""

    json: RopeJson
    theta: float
    head_dim: int
    original_context: float

    def exponents(self) -> Iterator[float]:
        """Yield 2i / head_dim for each pair i."""
        return (2 * pair / self.head_dim for pair in range(self.head_dim // 2))


def read_rope(rope: RopeJson | None, theta: float, head_dim: int, max_positions: int) -> RopeConfig:
    """Return the rotary embedding of heads of `head_dim`; `theta` counts where `rope` names none.

    Raises `ModelRefused` with the kind of scaling that is not served.
    """
    json = rope or RopeJson()
    kind = json.rope_type or json.type or "default"
    if kind not in _KINDS:
        raise ModelRefused(f"rope scaling {kind!r} is not served; {', '.join(_KINDS)} are")
    if json.partial_rotary_factor != 1.0 or json.mscale is not None:
        raise ModelRefused("a rotary embedding of a part of each head, or with mscale, is not served")
    original = json.original_max_position_embeddings or float(max_positions)
    return _KINDS[kind](_Rope(json, json.rope_theta or theta, head_dim, original))


def _default(rope: _Rope) -> RopeConfig:
    """Return frequencies that nothing scales.

    `dynamic` scaling begins behind `max_position_embeddings`, which is the longest context that is served.
    """
    return RopeConfig(theta=rope.theta)


def _linear(rope: _Rope) -> RopeConfig:
    return RopeConfig(theta=rope.theta, frequency_factors=(rope.json.factor,) * (rope.head_dim // 2))


def _llama3(rope: _Rope) -> RopeConfig:
    """Divide the frequencies of long waves by `factor`, of short ones by 1, between them by a blend.

    The formula of Llama 3.1's reference code (`apply_scaling`, llama-models).
    """
    low, high = rope.json.low_freq_factor, rope.json.high_freq_factor
    if high <= low:
        raise ModelRefused(f"a rope's high_freq_factor of {high} is not above its low_freq_factor of {low}")
    turns = (rope.original_context / (2 * math.pi * rope.theta**exponent) for exponent in rope.exponents())
    return _blended(rope, (_clamp((turn - low) / (high - low)) for turn in turns), amplitude=1.0)


def _yarn(rope: _Rope) -> RopeConfig:
    """Blend as `llama3` does, by a ramp over the pairs, and raise the amplitude (Peng et al. 2023, YaRN)."""
    json, last_pair = rope.json, rope.head_dim - 1
    first, last = (_pair_that_turns(rope, num_turns) for num_turns in (json.beta_fast, json.beta_slow))
    if json.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, last_pair)
    width = max(last - first, 1e-3)
    blends = (1.0 - _clamp((pair - first) / width) for pair in range(rope.head_dim // 2))
    inferred = 0.1 * math.log(json.factor) + 1.0 if json.factor > 1.0 else 1.0
    return _blended(rope, blends, amplitude=json.attention_factor or inferred)


def _pair_that_turns(rope: _Rope, num_turns: float) -> float:
    """Return which pair, as a fraction, turns so often over the original context."""
    return rope.head_dim * math.log(rope.original_context / (num_turns * 2 * math.pi)) / (2 * math.log(rope.theta))


def _blended(rope: _Rope, blends: Iterator[float], amplitude: float) -> RopeConfig:
    """Return the frequencies of which a share `blend` stays and the rest is divided by the rope's factor."""
    factors = tuple(1.0 / ((1.0 - blend) / rope.json.factor + blend) for blend in blends)
    return RopeConfig(theta=rope.theta, frequency_factors=factors, amplitude=amplitude)


def _clamp(share: float) -> float:
    return min(max(share, 0.0), 1.0)


_KINDS: Mapping[str, Callable[[_Rope], RopeConfig]] = MappingProxyType(
    {"default": _default, "dynamic": _default, "linear": _linear, "llama3": _llama3, "yarn": _yarn}
)
