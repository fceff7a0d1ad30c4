"""Fits a cost profile's terms to measured iterations."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sarathid.costmodel.cost_profile import (
    DecodeAttention,
    Embedding,
    Linear,
    OutputHead,
    Overhead,
    PrefillAttention,
    SendRecv,
)
from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.pipeline import layers_of_stages

_US_PER_S = 1e6
# What enters the terms other than as a factor is tried over these.
_KNEES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256)
_TILES = (1, 4, 8, 16, 32, 64)
_SATURATIONS = (1, 16, 32, 64, 128, 256, 512)
_HEAD_KNEES = (1, 2, 4, 8, 16, 32, 64)
# Of a chunk's pairs with itself a kernel computes those alone that are wanted, or all, or what lies between.
_DIAGONALS = (0.5, 1.0)
_USUAL_HEAD_KNEE = 8
_GOOD_ENOUGH = 1.01

Matrix = NDArray[np.float64]


class Sample(NamedTuple):
    """An iteration and the seconds that each stage of the pipeline took for it."""

    features: IterationFeatures
    stage_s: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """Seconds of all stages together."""
        return sum(self.stage_s)


class SentStream(NamedTuple):
    """So many tokens' activations, and the seconds from the end of one stage to the start of the next."""

    num_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FittedCosts:
    """A profile's terms for one layout; an embedding only where there are several stages."""

    overhead: Overhead
    linear: Linear
    prefill_attention: PrefillAttention
    decode_attention: DecodeAttention
    output_head: OutputHead
    embedding: Embedding | None = None


@dataclass(frozen=True, slots=True)
class _Kinks:
    """Where the cost of an iteration bends: tokens below which weights decide, tile, rows that fill the device.

    Below `head_knee` rows that sample, weights decide what the output head takes.
    """

    knee: int
    tile: int
    saturation: int
    head_knee: int


def fit(samples: Sequence[Sample], num_layers: int) -> FittedCosts:
    """Return the terms, none negative, with the least squared relative error on every stage of the samples.

    The factors follow by non-negative least squares for each choice of the kinks; the best choice is kept, but tiles
    are no larger than they have to be: a device is not taken to have some because a hundredth less is left unexplained.
    """
    layers = layers_of_stages(num_layers, len(samples[0].stage_s))
    features = [sample.features for sample in samples]
    seconds = np.array([sample.stage_s for sample in samples]).T.flatten()  # stage by stage, as the terms

    def solve(kinks: _Kinks) -> tuple[float, _Kinks, Matrix]:
        terms = _terms(features, kinks, layers) / seconds[:, None]
        factors = non_negative_least_squares(terms, np.ones(len(seconds)))
        return float(np.sum((terms @ factors - 1.0) ** 2)), kinks, factors

    def best(choices: Iterable[_Kinks]) -> tuple[_Kinks, Matrix]:
        solved = [solve(kinks) for kinks in choices]
        least = min(error for error, _, _ in solved)
        good = (choice for choice in solved if choice[0] <= _GOOD_ENOUGH * least)
        _, kinks, factors = min(good, key=lambda choice: (choice[1].tile, choice[0]))
        return kinks, factors

    has_stages = len(layers) > 1  # else what only one of them does can't be told from the rest
    head_knee = _USUAL_HEAD_KNEE if has_stages else 1
    kinks, factors = best(_Kinks(*choice, head_knee) for choice in itertools.product(_KNEES, _TILES, _SATURATIONS))
    if has_stages:
        kinks, factors = best(replace(kinks, head_knee=head_knee) for head_knee in _HEAD_KNEES)
    return _costs(kinks, factors * _US_PER_S, has_stages=has_stages)


def fit_sends(sent: Sequence[SentStream], bytes_per_token: int) -> SendRecv:
    """Return the line with the least squared relative error on the streams, none of which took no time."""
    num_bytes = np.array([float(stream.num_tokens * bytes_per_token) for stream in sent])
    seconds = np.array([stream.seconds for stream in sent])
    terms = np.stack((np.ones(len(sent)), num_bytes), axis=1) / seconds[:, None]
    base_s, s_per_byte = non_negative_least_squares(terms, np.ones(len(sent))).tolist()
    ends = (float(num_bytes.min()), float(num_bytes.max()))
    least, most = ((end, (base_s + s_per_byte * end) * _US_PER_S) for end in ends)
    return SendRecv(table=(least, most))


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


def _terms(features: Sequence[IterationFeatures], kinks: _Kinks, layers: Sequence[int]) -> Matrix:
    """Return [num_stages * num_iterations, num_terms], stage by stage; what only one stage does is 0 in the others."""
    has_stages, is_uneven = len(layers) > 1, len(set(layers)) > 1
    ones = np.ones(len(features))
    num_tokens = np.array([float(each.num_decodes + each.num_prefill_tokens) for each in features])
    num_rows = np.array([float(max(kinks.head_knee, each.num_sequences)) for each in features])
    of_layer = np.array([(float(is_uneven), *_layer_terms(each, kinks)) for each in features])
    stages = []
    for stage, num_layers in enumerate(layers):
        is_first, is_last = float(has_stages and stage == 0), float(stage == len(layers) - 1)
        ends = np.stack((ones, is_first * ones, is_first * num_tokens, is_last * num_rows), axis=1)
        stages.append(np.hstack((ends, num_layers * of_layer)))
    return np.concatenate(stages)


def _layer_terms(features: IterationFeatures, kinks: _Kinks) -> tuple[float, ...]:
    num_tokens = features.num_decodes + features.num_prefill_tokens
    num_rows = [max(kinks.saturation, chunk.num_tokens) for chunk in features.chunks]
    return (
        max(kinks.knee, -(-num_tokens // kinks.tile) * kinks.tile),
        num_tokens,
        1.0 if features.chunks else 0.0,
        *(
            sum(
                rows * (chunk.first_position + diagonal * chunk.num_tokens)
                for rows, chunk in zip(num_rows, features.chunks, strict=True)
            )
            for diagonal in _DIAGONALS
        ),
        1.0 if features.num_decodes else 0.0,
        features.decode_context,
        features.num_decodes,
    )


def _costs(kinks: _Kinks, factors_us: Matrix, *, has_stages: bool) -> FittedCosts:
    fixed, first, embedded, row, layer, *of_layer = factors_us.tolist()
    token, elementwise, prefill, *pairs, decode, context, sequence = of_layer
    pair = sum(pairs)
    return FittedCosts(
        overhead=Overhead(fixed_us=fixed, us_per_sequence=0.0),
        linear=Linear(
            floor_us=token * kinks.knee,
            base_us=0.0,
            us_per_token=token,
            tile=kinks.tile,
            elementwise_base_us=layer,
            elementwise_us_per_token=elementwise,
        ),
        prefill_attention=PrefillAttention(
            base_us=prefill,
            us_per_pair=pair,
            saturation_tokens=float(kinks.saturation),
            diagonal=float(np.dot(pairs, _DIAGONALS)) / pair if pair else _DIAGONALS[0],
            tile=1,
        ),
        decode_attention=DecodeAttention(base_us=decode, us_per_context_token=context, us_per_sequence=sequence),
        output_head=OutputHead(floor_us=row * kinks.head_knee, us_per_row=row),
        embedding=Embedding(base_us=first, us_per_token=embedded) if has_stages else None,
    )
