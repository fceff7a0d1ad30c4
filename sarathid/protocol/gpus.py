"""What an accelerator tells of itself."""

import msgspec

MAX_GPUS = 64


class GPUStatus(msgspec.Struct, frozen=True):
    """One device by its number: the share of the last moments in which it worked, degrees Celsius and watts.

    None is what the device does not tell.
    """

    index: int
    load: float | None
    temperature_c: int | None
    power_w: float | None
