"""What a GPU tells of itself, in words."""

from sarathictl import units
from sarathid.protocol.gpus import GPUStatus


def gpu_words(gpu: GPUStatus) -> str:
    """Return number, load, temperature and power, without what the device does not tell."""
    told = (
        "" if gpu.load is None else units.share(gpu.load),
        "" if gpu.temperature_c is None else f"{gpu.temperature_c} °C",
        "" if gpu.power_w is None else f"{gpu.power_w:.0f} W",
    )
    return " ".join([f"GPU{gpu.index}", *filter(None, told)])
