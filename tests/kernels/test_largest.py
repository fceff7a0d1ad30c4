"""The largest numbers of a row are found in one order, whatever their number."""

import numpy as np
import pytest
import torch
from sarathi_kernels.largest import argmax, first_largest


@pytest.mark.parametrize("count", [1, 2, 7, 50, 51, 99])
def test_of_equal_ones_the_first_are_taken_and_stand_first(count: int) -> None:
    row = np.random.default_rng(0).integers(0, 8, 51).astype(np.float32)
    expected = sorted(range(len(row)), key=lambda index: (-row[index], index))[:count]

    assert first_largest(row, count).tolist() == expected


def test_the_best_of_each_row_is_its_first_largest() -> None:
    rows = torch.tensor([[1.0, 3.0, 3.0], [5.0, 5.0, 5.0], [-torch.inf, -torch.inf, -9.0], [1.0, torch.nan, 2.0]])

    assert argmax(rows).tolist() == [1, 0, 2, 1]
