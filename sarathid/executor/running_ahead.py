"""Whether batches are put together while the one before them runs."""

from typing import TYPE_CHECKING

from sarathid.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from sarathi_kernels.select import Kernels


def runs_ahead(mode: str, num_devices: int, *, is_beside: bool) -> bool:
    """Return what `--async-scheduling` comes to on so many devices, one of which `is_beside` the host.

    Raises `ConfigError`, with the reason, where it was switched on and can't be.
    """
    if num_devices == 1 and is_beside:
        return mode != "off"
    if mode == "on":
        reason = f"it is for one device, and here are {num_devices}"
        if num_devices == 1:
            reason = "no kernels here run beside the host"
        raise ConfigError(f"--async-scheduling on can't be: {reason}; leave it at auto")
    return False


def is_beside(device: "torch.device", kernels: "Kernels") -> bool:
    """Whether a device computes beside the host, which launches a batch by these kernels and has time meanwhile.

    Where one waits for what lies on the device, tokens would be told when those of the batch behind are there.
    """
    return device.type == "cuda" and kernels.attention.can_be_captured and kernels.draw.device is not None
