"""Fits a cost profile's terms to measured iterations."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarathid.costmodel.cost_profile import DecodeAttention, Linear, OutputHead, Overhead, PrefillAttention
from sarathid.costmodel.features import IterationFeatures

_US_PER_S = 1e6
# What enters the terms other than as a factor is tried over these.
_KNEES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256)
_TILES = (1, 4, 8, 16, 32, 64)
_SATURATIONS = (1, 16, 32, 64, 128, 256, 512)

Matrix = NDArray[np.float64]


class Sample(NamedTuple):
    """An iteration and the seconds that it took."""

    features: IterationFeatures
    seconds: float


@dataclass(frozen=True, slots=True)
class FittedCosts:
    """A profile's terms for one device and one stage."""

    overhead: Overhead
    linear: Linear
    prefill_attention: PrefillAttention
    decode_attention: DecodeAttention
    output_head: OutputHead


@dataclass(frozen=True, slots=True)
class _Kinks:
    """Where the cost of an iteration bends: tokens below which weights decide, tile, rows that fill the device."""

    knee: int
    tile: int
    saturation: int


def fit(samples: Sequence[Sample], num_layers: int) -> FittedCosts:
    """Return the terms, none negative, with the least squared relative error on the samples.

    The factors follow by non-negative least squares for each choice of the kinks; the best choice is kept.
    """
    seconds = np.array([sample.seconds for sample in samples])

    def factors(kinks: _Kinks) -> tuple[float, Matrix]:
        terms = np.array([_terms(sample.features, kinks) for sample in samples]) / seconds[:, None]
        solution = non_negative_least_squares(terms, np.ones(len(samples)))
        return float(np.sum((terms @ solution - 1.0) ** 2)), solution

    choices = [_Kinks(*choice) for choice in itertools.product(_KNEES, _TILES, _SATURATIONS)]
    results = [factors(kinks) for kinks in choices]
    best = min(range(len(choices)), key=lambda index: results[index][0])
    return _costs(choices[best], results[best][1] * _US_PER_S, num_layers)


def relative_errors(predicted_s: Sequence[float], measured_s: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile of |predicted / measured - 1|."""
    median, p95 = np.percentile(np.abs(np.divide(predicted_s, measured_s) - 1.0), (50, 95))
    return float(median), float(p95)


def non_negative_least_squares(a: Matrix, b: Matrix) -> Matrix:
    """Return x >= 0 that minimizes |a x - b| (Lawson and Hanson 1974, the active-set method)."""
    scale = np.maximum(np.linalg.norm(a, axis=0), 1e-300)
    a = a / scale
    x = np.zeros(a.shape[1])
    is_passive = np.zeros(a.shape[1], dtype=bool)
    for _ in range(3 * a.shape[1]):
        gradient = a.T @ (b - a @ x)
        gradient[is_passive] = -np.inf
        if gradient.max() <= 1e-10:
            break
        is_passive[gradient.argmax()] = True
        x = _settle(a, b, x, is_passive)
    solution: Matrix = x / scale
    return solution


def _settle(a: Matrix, b: Matrix, x: Matrix, is_passive: NDArray[np.bool_]) -> Matrix:
    """Solve for the passive variables; those that would go below zero leave the set, which is changed in place."""
    while True:
        wanted = np.zeros_like(x)
        wanted[is_passive] = np.linalg.lstsq(a[:, is_passive], b, rcond=None)[0]
        is_below = is_passive & (wanted <= 0.0)
        if not is_below.any():
            return wanted
        step = np.min(x[is_below] / np.maximum(x[is_below] - wanted[is_below], 1e-300))
        x = x + step * (wanted - x)
        is_passive &= x > 1e-12
        x[~is_passive] = 0.0


def _terms(features: IterationFeatures, kinks: _Kinks) -> tuple[float, ...]:
    num_tokens = features.num_decodes + features.num_prefill_tokens
    num_rows = [max(kinks.saturation, chunk.num_tokens) for chunk in features.chunks]
    return (
        1.0,
        max(kinks.knee, -(-num_tokens // kinks.tile) * kinks.tile),
        num_tokens,
        features.num_sequences,
        1.0 if features.chunks else 0.0,
        sum(rows * chunk.first_position for rows, chunk in zip(num_rows, features.chunks, strict=True)),
        sum(rows * chunk.num_tokens for rows, chunk in zip(num_rows, features.chunks, strict=True)),
        1.0 if features.num_decodes else 0.0,
        features.decode_context,
        features.num_decodes,
    )


def _costs(kinks: _Kinks, factors_us: Matrix, num_layers: int) -> FittedCosts:
    fixed, token, elementwise, row, prefill, pair, diagonal_pair, decode, context, sequence = factors_us.tolist()
    return FittedCosts(
        overhead=Overhead(fixed_us=fixed, us_per_sequence=0.0),
        linear=Linear(
            floor_us=token * kinks.knee / num_layers,
            base_us=0.0,
            us_per_token=token / num_layers,
            tile=kinks.tile,
            elementwise_base_us=0.0,
            elementwise_us_per_token=elementwise / num_layers,
        ),
        prefill_attention=PrefillAttention(
            base_us=prefill / num_layers,
            us_per_pair=max(pair, diagonal_pair) / num_layers,
            saturation_tokens=float(kinks.saturation),
            diagonal=diagonal_pair / pair if pair else 1.0,
            tile=1,
        ),
        decode_attention=DecodeAttention(
            base_us=decode / num_layers,
            us_per_context_token=context / num_layers,
            us_per_sequence=sequence / num_layers,
        ),
        output_head=OutputHead(floor_us=0.0, us_per_row=row),
    )
