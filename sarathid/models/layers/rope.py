"""Rotary position embedding (Su et al. 2021), halves turned against each other as in Llama."""

import torch
from torch import Tensor

from sarathid.models.model_config import RopeConfig


class Rope:
    """Cosines and sines of every position up to `max_positions`, and the turning by them."""

    def __init__(self, config: RopeConfig, head_dim: int, max_positions: int, device: torch.device) -> None:
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
        frequencies = 1.0 / config.theta**exponents
        if config.frequency_factors is not None:
            frequencies = frequencies / torch.tensor(config.frequency_factors)
        angles = torch.outer(torch.arange(max_positions, dtype=torch.float32), frequencies)
        self._cos = angles.cos().to(device)  # [max_positions, head_dim // 2] float32
        self._sin = angles.sin().to(device)  # [max_positions, head_dim // 2] float32

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines [num_tokens, 1, head_dim // 2] for `positions` [num_tokens] int64."""
        return self._cos[positions].unsqueeze(1), self._sin[positions].unsqueeze(1)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return `heads` [num_tokens, num_heads, head_dim] turned by the angles of their positions."""
    first, second = heads.float().chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return turned.to(heads.dtype)
