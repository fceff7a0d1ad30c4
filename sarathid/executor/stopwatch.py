"""Times what a device does for one batch."""

import torch

from sarathid.clock import Clock


class Stopwatch:
    """Runs from `start` to `stop`; on a GPU, which works on its own, between the places of both in its stream.

    What the stream waits for before it comes to `start`, a residual stream on its way say, is not in it.
    """

    def __init__(self, device: torch.device, clock: Clock) -> None:
        self._clock = clock
        self._start_s = 0.0
        self._events: tuple[torch.cuda.Event, torch.cuda.Event] | None = None
        if device.type == "cuda":
            self._events = _event(), _event()

    def start(self) -> None:
        self._start_s = self._clock.now_s()
        if self._events is not None:
            self._events[0].record()

    def stop(self) -> tuple[float, float]:
        """Wait until the device is through; return when it began on the clock, and for how many seconds it worked."""
        if self._events is None:
            return self._start_s, self._clock.now_s() - self._start_s
        begin, end = self._events
        end.record()
        end.synchronize()
        busy_s = begin.elapsed_time(end) / 1e3
        return self._clock.now_s() - busy_s, busy_s


def _event() -> torch.cuda.Event:
    event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    return event
