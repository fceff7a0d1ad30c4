"""A recording's other self: what its requests would have seen under other settings, moment by moment."""

from dataclasses import dataclass

from sarathictl.state.engine_log import EngineLog
from sarathictl.state.engine_view import EngineView
from sarathid.protocol.plan import Planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """The simulated run's log, in which a moment of the original is `behind_s` earlier, and what it came to."""

    log: EngineLog
    behind_s: float
    planned: Planned

    def view(self, time_s: float) -> EngineView | None:
        """Return what it shows at a moment of the original, None before anything is known of it.

        Where the run has ended, its last moment stands.
        """
        if self.log.start_s is None:
            return None
        moment_s = min(max(time_s - self.behind_s, self.log.start_s), self.log.end_s)
        return self.log.state_at(moment_s).view(moment_s)
