"""Finds where the host would wait for a device, without one: torch's `meta` device plays its part."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

META = torch.device("meta")


class NoWaits(TorchFunctionMode):
    """Raises AssertionError at what has the host wait until a GPU is through with all that was launched.

    That is a copy of memory that is not pinned, as `torch.tensor`, an index that is a list, and `to` make, unless it
    says `non_blocking`. What brings numbers back to the host can't be had of `meta` at all.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        result = func(*args, **named)
        if func in (torch.tensor, torch.as_tensor):
            assert result.device != META, "a tensor is made of numbers on the device"
        if func is torch.Tensor.to and args[0].device != result.device:
            assert named.get("non_blocking"), "a copy to the device is waited for"
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            assert not isinstance(args[1], list), "an index is made of numbers on the device"
        return result
