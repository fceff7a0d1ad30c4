"""What ranks do together over torch.distributed: they find each other, and those of a stage sum up and gather."""

from datetime import timedelta

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch._C._distributed_c10d import FileStore, Store, TCPStore

from sarathid.executor.layout import Layout
from sarathid.executor.rank_messages import FileMeeting, SocketMeeting
from sarathid.models.layers.tensor_group import TensorGroup

_BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
_PATIENCE = timedelta(days=1)  # who is slow and who hangs is for the daemon to say


def meet(layout: Layout, index: int, meeting: FileMeeting | SocketMeeting, device: torch.device) -> "StageGroup | None":
    """Wait until every rank is there; returns the ranks of this one's stage, None if it has that to itself."""
    dist.init_process_group(
        backend_of(device),
        store=_store(meeting, layout.num_ranks),
        rank=index,
        world_size=layout.num_ranks,
        timeout=_PATIENCE,
    )
    if layout.num_parts == 1:
        return None
    stages = [layout.ranks_of_stage(stage) for stage in range(layout.num_stages)]
    groups = [dist.new_group(list(ranks), timeout=_PATIENCE) for ranks in stages]
    stage = layout.stage_of(index)
    return StageGroup(groups[stage], stages[stage].index(index), layout.num_parts)


def backend_of(device: torch.device) -> str:
    """Return by what the ranks on such devices talk."""
    return _BACKENDS[device.type]


def least_of_all(value: int, device: torch.device) -> int:
    """Return the least of every rank's `value`."""
    found = torch.tensor([value], device=device)
    dist.all_reduce(found, dist.ReduceOp.MIN)
    return int(found)


class StageGroup(TensorGroup):
    """The ranks of one stage, each in its process; this one is part `part` of `num_parts`."""

    def __init__(self, group: dist.ProcessGroup, part: int, num_parts: int) -> None:
        self._group = group
        self._part = part
        self._num_parts = num_parts

    @property
    def num_parts(self) -> int:
        return self._num_parts

    def sum(self, part: Tensor) -> Tensor:
        dist.all_reduce(part, group=self._group)
        return part

    def largest(self, part: Tensor) -> Tensor:
        dist.all_reduce(part, dist.ReduceOp.MAX, group=self._group)
        return part

    def gather(self, part: Tensor, num_columns: int) -> Tensor | None:
        width = -(-num_columns // self._num_parts)
        if part.shape[1] < width:
            part = F.pad(part, (0, width - part.shape[1]))
        gathered = self._empty_like(part) if self._part == 0 else None
        dist.gather(part.contiguous(), gathered, group=self._group, group_dst=0)
        return None if gathered is None else torch.cat(gathered, dim=1)[:, :num_columns]

    def join(self, part: Tensor) -> Tensor:
        """Return the equal parts [num_rows, num_columns] of all ranks side by side, on each of them."""
        parts = self._empty_like(part)
        dist.all_gather(parts, part, group=self._group)
        return torch.cat(parts, dim=1)

    def _empty_like(self, part: Tensor) -> list[Tensor]:
        return list(torch.empty(self._num_parts, *part.shape, dtype=part.dtype, device=part.device))


def _store(meeting: FileMeeting | SocketMeeting, num_ranks: int) -> Store:
    match meeting:
        case FileMeeting(descriptor=descriptor):
            return FileStore(f"/proc/self/fd/{descriptor}", num_ranks)
        case SocketMeeting(host=host, port=port, descriptor=None):
            return TCPStore(host, port, num_ranks, is_master=False)
        case SocketMeeting(host=host, port=port, descriptor=descriptor):
            return TCPStore(host, port, num_ranks, is_master=True, wait_for_workers=False, master_listen_fd=descriptor)
