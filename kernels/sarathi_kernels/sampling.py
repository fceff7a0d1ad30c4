"""The seam between a sampler and the kernels that draw tokens."""

from dataclasses import dataclass
from typing import Final, Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawParameters:
    """How each row's token is drawn; a temperature of 0 takes the best.

    Of the `top_k` heaviest tokens (the vocabulary's size: all), those of at least `min_p` times the
    heaviest; of these the fewest heaviest that hold `top_p` of their sum. Tokens as heavy as the last that
    is kept are kept too. `share` in [0, 1) says where in the sum of those kept, in the vocabulary's order,
    the token lies.
    """

    temperature: Tensor  # [num_rows] float32
    top_k: Tensor  # [num_rows] int32
    top_p: Tensor  # [num_rows] float32
    min_p: Tensor  # [num_rows] float32
    share: Tensor  # [num_rows] float32


class DrawKernel(Protocol):
    """Draws a token of each row where the logits lie."""

    def __call__(self, logits: Tensor, parameters: DrawParameters) -> tuple[Tensor, Tensor]:
        """Return a token of each row of `logits` [num_rows, vocab_size] float32, and whether the row held numbers.

        Both are [num_rows], int64 and bool, on the device; a row with a NaN, or whose largest is
        infinite, holds none.
        """
        ...


class HostDrawKernel(Protocol):
    """Draws tokens of logits on the host, any token of a row."""

    def __call__(self, logits: Tensor, rows: Tensor, largest: Tensor, temperature: Tensor, share: Tensor) -> Tensor:
        """Return a token [num_drawn] int64 of each of the `rows` [num_drawn] int64 of `logits` [., vocab_size] float32.

        `largest` [num_drawn] float32 are the rows' largest logits, all finite. With `temperature` [num_drawn] float32,
        none of them 0, `share` [num_drawn] float64 in [0, 1) says where in the sum of all weights a token lies.
        """
        ...


@dataclass(frozen=True, slots=True)
class DrawKernels:
    """By what tokens are drawn: all of them where the logits lie, or some on the host; by numpy where both are None."""

    device: DrawKernel | None = None
    host: HostDrawKernel | None = None


NUMPY_ALONE: Final = DrawKernels()
