"""How long the garbage collector has held this process up."""

import gc
import time


class GarbageCollectionMeter:
    """Adds up the collector's pauses from `start` to `stop`."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self._began_s = 0.0

    def start(self) -> None:
        gc.callbacks.append(self._on_phase)

    def stop(self) -> None:
        gc.callbacks.remove(self._on_phase)

    def _on_phase(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._began_s = time.perf_counter()
        else:
            self.total_s += time.perf_counter() - self._began_s
