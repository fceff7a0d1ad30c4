"""The tensors behind the block ids: the keys and values of every layer of a share."""

import torch
from sarathi_kernels.backend import LayerCache

from sarathid.models.share import ModelShare


class KVStorage:
    """`num_blocks` blocks of `block_size` positions, in every layer.

    The memory is one allocation. On CPU the operating system hands out its pages as blocks are first
    written, and a block holds each head's positions side by side: decodes read contexts of 2,048
    positions 1.4 times as fast as with the heads of a position side by side, which CUDA kernels want. On CPU it may
    lie in `room`, of just as many bytes, with what is there already. A scratch block behind the others is nobody's:
    rows of padding use it.
    """

    def __init__(
        self,
        share: ModelShare,
        num_blocks: int,
        block_size: int,
        device: torch.device,
        dtype: torch.dtype,
        room: memoryview | None = None,
        *,
        has_scratch_block: bool = False,
    ) -> None:
        is_head_major = device.type == "cpu"
        num_kv_heads = share.kv_heads.length
        inner = (num_kv_heads, block_size) if is_head_major else (block_size, num_kv_heads)
        shape = (len(share.layers), 2, num_blocks + has_scratch_block, *inner, share.config.head_dim)
        if room is None:
            values = torch.empty(shape, device=device, dtype=dtype)
        else:
            assert device.type == "cpu", "no other device computes on our memory"
            values = torch.frombuffer(room, dtype=dtype).view(shape)
        if is_head_major:
            values = values.transpose(3, 4)
        self.num_blocks = num_blocks
        self.has_scratch_block = has_scratch_block
        self.block_size = block_size
        self.num_bytes = values[:, :, :num_blocks].nbytes
        self.layers = tuple(LayerCache(layer[0], layer[1]) for layer in values)

    @property
    def scratch_block(self) -> int:
        assert self.has_scratch_block, "who pads says so when the cache is made"
        return self.num_blocks

    def clear(self) -> None:
        """Set every key and value to zero: fresh memory may hold anything, numbers or not."""
        for layer in self.layers:
            layer.k.zero_()
            layer.v.zero_()
