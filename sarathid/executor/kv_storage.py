"""The tensors behind the block ids: every layer's keys and values."""

import torch
from sarathi_kernels.backend import LayerCache

from sarathid.models.model_config import ModelConfig


class KVStorage:
    """`num_blocks` blocks of `block_size` positions, in every layer.

    The memory is one allocation; on CPU the kernel hands out its pages as blocks are first written.
    """

    def __init__(
        self, config: ModelConfig, num_blocks: int, block_size: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (config.num_layers, 2, num_blocks, block_size, config.num_kv_heads, config.head_dim)
        values = torch.empty(shape, device=device, dtype=dtype)
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.num_bytes = values.nbytes
        self.layers = tuple(LayerCache(layer[0], layer[1]) for layer in values)
