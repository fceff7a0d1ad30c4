"""How busy, how warm and how thirsty NVIDIA's devices are, looked at once a second by a thread of its own."""

import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from sarathid.protocol.gpus import MAX_GPUS, GPUStatus

LOOK_EVERY_S = 1.0


class GPUMeter:
    """What NVML says of each device that it can see, () before `start` and where there is no NVML.

    It takes the package nvidia-ml-py (extra `gpu`) and NVIDIA's driver.
    """

    def __init__(self) -> None:
        self.latest: tuple[GPUStatus, ...] = ()  # replaced as a whole: a reader has one state or the next
        self._is_closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look; does nothing where there is nothing to look at."""
        nvml = _nvml()
        if nvml is None:
            return
        self._thread = threading.Thread(target=self._look, args=(nvml,), name="gpu-meter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more. Safe to call without `start`."""
        self._is_closing.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self, nvml: ModuleType) -> None:
        handles = list(_handles(nvml))
        while handles:
            self.latest = tuple(_status(nvml, index, handle) for index, handle in handles)
            if self._is_closing.wait(LOOK_EVERY_S):
                break
        nvml.nvmlShutdown()


def _nvml() -> ModuleType | None:
    """Return the library, ready to be asked; None where it or the driver is missing."""
    try:
        import pynvml  # deferred: few machines have it
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    nvml: ModuleType = pynvml
    return nvml


def _handles(nvml: ModuleType) -> Iterator[tuple[int, Any]]:
    for index in range(min(_value(nvml, nvml.nvmlDeviceGetCount) or 0, MAX_GPUS)):
        handle = _value(nvml, nvml.nvmlDeviceGetHandleByIndex, index)
        if handle is not None:
            yield index, handle


def _status(nvml: ModuleType, index: int, handle: Any) -> GPUStatus:
    use = _value(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    power_mw = _value(nvml, nvml.nvmlDeviceGetPowerUsage, handle)
    return GPUStatus(
        index=index,
        load=None if use is None else use.gpu / 100.0,
        temperature_c=_value(nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
        power_w=None if power_mw is None else power_mw / 1000.0,
    )


def _value(nvml: ModuleType, ask: Any, *arguments: Any) -> Any:
    """Return an answer, None where the device has none: some can't tell their power, and one may be lost."""
    try:
        return ask(*arguments)
    except nvml.NVMLError:
        return None
