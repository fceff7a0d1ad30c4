"""Which moment of a log is shown: now, one that is held, or one that moves on as a recording is played."""

from dataclasses import dataclass

from sarathictl.state.engine_log import EngineLog
from sarathictl.state.engine_view import EngineView
from sarathid.clock import Clock

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Where the moment that is shown lies in what there is, in monotonic seconds, and how it moves.

    `loop` are the moments A and B, of which B may be yet to come.
    """

    time_s: float
    start_s: float
    end_s: float
    is_playing: bool
    speed: float
    loop: tuple[float, ...]
    stalls_s: tuple[float, ...]


class Playhead:
    """Shows now until somebody looks back; records are taken in all the same. A recording has no now: it is played."""

    def __init__(self, log: EngineLog, clock: Clock, *, is_recording: bool = False) -> None:
        self._log = log
        self._clock = clock
        self._is_recording = is_recording
        self._held_s: float | None = None
        self._moved_s = clock.now_s()
        self._is_playing = is_recording
        self._speed = 1.0
        self._loop: tuple[float, ...] = ()
        self._held_view: EngineView | None = None

    @property
    def is_live(self) -> bool:
        """Whether what is shown is now."""
        return self._held_s is None and not self._is_recording

    @property
    def now_s(self) -> float:
        """The moment that is shown."""
        return self._clock.now_s() if self._held_s is None else self._held_s

    def seal_span_s(self) -> tuple[float, float] | None:
        """Make what came a part of the past; return the earliest and the newest moment of it, None without any."""
        self._log.seal()
        if self._log.start_s is None:
            return None
        return self._log.start_s, self._log.end_s if self._is_recording else self._clock.now_s()

    @property
    def transport(self) -> Transport | None:
        """Where the moment lies, None while it is now."""
        if self._held_s is None or self._log.start_s is None:
            return None
        return Transport(
            time_s=self._held_s,
            start_s=self._log.start_s,
            end_s=self._log.end_s,
            is_playing=self._is_playing,
            speed=self._speed,
            loop=self._loop,
            stalls_s=self._log.stalls_s,
        )

    def view(self) -> EngineView:
        """Return what there is to see."""
        if self._held_s is None:
            return self._log.state.view(self.now_s)
        if self._held_view is None or self._held_view.now_s != self._held_s:
            self._held_view = self._log.state_at(self._held_s).view(self._held_s)
        return self._held_view

    def tick(self) -> None:
        """Move on as far as a recording was played since the last tick."""
        now_s = self._clock.now_s()
        played_s, self._moved_s = now_s - self._moved_s, now_s
        if self._is_recording and self._held_s is None and self._log.start_s is not None:
            self._held_s = self._log.start_s
        elif self._is_playing and self._held_s is not None:
            self._play(self._held_s + played_s * self._speed)

    def toggle(self) -> None:
        """Hold the picture or let go of it; play a recording or stop."""
        if self._is_recording:
            self._is_playing = not self._is_playing
        elif self._held_s is None:
            self._hold()
        else:
            self._let_go()

    def step(self, num_iterations: int) -> None:
        """Go to the end of another iteration, `num_iterations` (1 or -1) further."""
        self._hold()
        self._move(self._log.iteration_s(self.now_s, num_iterations))

    def shift(self, seconds: float) -> None:
        """Go so many seconds further."""
        self._hold()
        self._move(self.now_s + seconds)

    def to_moment(self, time_s: float) -> None:
        """Go to a moment."""
        self._hold()
        self._move(time_s)

    def to_start(self) -> None:
        """Go to the earliest moment."""
        self._hold()
        self._move(self._log.start_s)

    def to_end(self) -> None:
        """Go back to now, or to the end of a recording."""
        if self._is_recording:
            self._hold()
            self._move(self._log.end_s)
        else:
            self._let_go()

    def to_stall(self, step: int) -> None:
        """Go to the end of the next stall, or of the one before for a negative step."""
        self._hold()
        self._move(self._log.stall_s(self.now_s, step))

    def to_change(self, step: int) -> None:
        """Go to the next change of the settings, or the one before for a negative step."""
        self._hold()
        self._move(self._log.change_s(self.now_s, step))

    def change_speed(self, step: int) -> None:
        """Play a recording faster, or slower for a negative step."""
        self._speed = SPEEDS[min(max(SPEEDS.index(self._speed) + step, 0), len(SPEEDS) - 1)]

    def mark_loop(self) -> None:
        """Set A, then B, between which a recording is played again and again; the third time, neither."""
        self._loop = () if len(self._loop) == 2 or not self._is_recording else tuple(sorted((*self._loop, self.now_s)))

    def _hold(self) -> None:
        """Stay at the moment that is shown, and make what came until now a part of the past."""
        self._is_playing = False
        self._log.seal()
        if self._held_s is None and self._log.start_s is not None:
            self._held_s = self._clock.now_s()

    def _let_go(self) -> None:
        self._held_s = self._held_view = None

    def _move(self, time_s: float | None) -> None:
        if time_s is not None and self._held_s is not None:
            assert self._log.start_s is not None
            self._held_s = min(max(time_s, self._log.start_s), max(self._log.end_s, self._held_s))

    def _play(self, time_s: float) -> None:
        if len(self._loop) == 2 and time_s >= self._loop[1]:
            time_s = self._loop[0]
        self._is_playing = time_s < self._log.end_s
        self._held_s = min(time_s, self._log.end_s)
