"""When a process was stopped, by SIGSTOP say, and could do nothing."""

import math

from sarathid.telemetry.span import Span

MAX_PAUSES = 256


class Pauses:
    """The latest pauses of one process, of which the last may last; noted by one thread, read by any."""

    def __init__(self) -> None:
        self._pauses: tuple[Span, ...] = ()  # replaced as a whole: a reader has one state or the next

    def begin(self, time_s: float) -> None:
        """Note that the process is stopped from now on."""
        self.add(Span(time_s, math.inf))

    def end(self, time_s: float) -> None:
        """Note that it goes on, or is gone; nothing happens when it was not stopped."""
        if self._pauses and self._pauses[-1].until_s == math.inf:
            *over, lasting = self._pauses
            self._pauses = (*over, Span(lasting.from_s, time_s))

    def add(self, pause: Span) -> None:
        """Note a pause behind those before."""
        self._pauses = (*self._pauses[1 - MAX_PAUSES :], pause)

    def seconds_within(self, span: Span) -> float:
        """Return how much of `span` the process was stopped for."""
        seconds = 0.0
        for pause in reversed(self._pauses):
            if pause.until_s <= span.from_s:
                break
            seconds += pause.within(span).seconds
        return seconds
