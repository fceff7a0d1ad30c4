"""Where residual streams cross from one pipeline stage to the next, over torch.distributed."""

from collections import deque
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from sarathid.executor.layout import Layout
from sarathid.executor.rank_groups import StageGroup


class StageBoundary:
    """Takes streams [num_tokens, hidden_size] from the stage before rank `index`, and hands them to the one behind.

    Every rank of a stage has all of a stream, and each sends it to its counterpart. Where stages are on different
    nodes, whose network is slower than what is inside them, each sends its columns alone, and the receivers, which are
    `group`, put them together.
    """

    def __init__(
        self,
        layout: Layout,
        index: int,
        group: StageGroup | None,
        hidden_size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._layout = layout
        self._index = index
        self._group = group
        self._hidden_size = hidden_size
        self._dtype = dtype
        self._device = device
        self._sent: deque[tuple[dist.Work, Tensor]] = deque()

    def receive(self, num_tokens: int) -> Callable[[], Tensor]:
        """Begin to receive the next stream of `num_tokens` tokens; returns what waits for it and gives it."""
        sender = self._index - self._layout.num_parts
        num_columns = self._num_columns_between(sender, self._index)
        part = torch.empty(num_tokens, num_columns, dtype=self._dtype, device=self._device)
        arriving = dist.irecv(part, sender)
        assert arriving is not None

        def wait() -> Tensor:
            arriving.wait()
            return part if self._group is None or num_columns == self._hidden_size else self._group.join(part)

        return wait

    def send(self, hidden: Tensor) -> None:
        """Send a stream on, without waiting until it has arrived."""
        receiver = self._index + self._layout.num_parts
        num_columns = self._num_columns_between(self._index, receiver)
        first = self._index % self._layout.num_parts * num_columns
        part = hidden if num_columns == self._hidden_size else hidden[:, first : first + num_columns].contiguous()
        sending = dist.isend(part, receiver)
        assert sending is not None
        self._sent.append((sending, part))
        if len(self._sent) > self._layout.num_stages:  # the oldest is of a batch that was collected
            self._sent.popleft()[0].wait()

    def _num_columns_between(self, sender: int, receiver: int) -> int:
        layout = self._layout
        is_cut = layout.node_of(sender) != layout.node_of(receiver) and self._hidden_size % layout.num_parts == 0
        return self._hidden_size // layout.num_parts if is_cut else self._hidden_size
