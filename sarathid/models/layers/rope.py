"""The angles of the rotary position embedding (Su et al. 2021)."""

import torch
from torch import Tensor

from sarathid.models.rope_config import RopeConfig


class Rope:
    """Cosines and sines of every position up to `max_positions`."""

    def __init__(self, config: RopeConfig, head_dim: int, max_positions: int, device: torch.device) -> None:
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
        frequencies = 1.0 / config.theta**exponents
        if config.frequency_factors is not None:
            frequencies = frequencies / torch.tensor(config.frequency_factors)
        angles = torch.outer(torch.arange(max_positions, dtype=torch.float32), frequencies)
        self._cos = (angles.cos() * config.amplitude).to(device)  # [max_positions, head_dim // 2] float32
        self._sin = (angles.sin() * config.amplitude).to(device)  # [max_positions, head_dim // 2] float32

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines [num_tokens, head_dim // 2] for `positions` [num_tokens] int64."""
        return self._cos[positions], self._sin[positions]
