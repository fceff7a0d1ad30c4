"""Arrays arrive as they were sent, in one piece of memory, each aligned."""

import numpy as np
import torch

from sarathid.executor.staging import NumberArray, pack, send, unpack

ARRAYS: list[NumberArray] = [
    np.arange(3, dtype=np.int64),
    np.array([], np.int64),
    np.arange(7, dtype=np.int32) - 3,
    np.arange(6, dtype=np.int32).reshape(2, 3),
    np.array([1 << 40], np.int64),
]


def test_what_is_packed_comes_out_again() -> None:
    packed = pack(ARRAYS, is_pinned=False)
    tensors = unpack(packed.clone(), ARRAYS)
    for tensor, array in zip(tensors, ARRAYS, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array, strict=True)
        assert (tensor.storage_offset() * tensor.itemsize) % 16 == 0


def test_on_cpu_nothing_is_copied() -> None:
    array = np.arange(4)
    sent = send({"numbers": array}, torch.device("cpu"))
    array[2] = 9
    assert sent["numbers"].tolist() == [0, 1, 9, 3]
