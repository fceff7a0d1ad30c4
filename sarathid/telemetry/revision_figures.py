"""How requests were served under one revision of the settings."""

from sarathid.protocol.changes import Figures
from sarathid.protocol.stats import EngineSettings, IterationStats
from sarathid.telemetry.service_tally import ServiceTally


class RevisionFigures:
    """Folds the iterations of one revision from when it came in force, for `max_s` seconds at most."""

    def __init__(self, settings: EngineSettings, since_s: float, max_s: float) -> None:
        self.revision = settings.revision
        self.until_s = since_s + max_s
        self._since_s = since_s
        self._target_s = settings.slo.tbt_s
        self._tally = ServiceTally()

    def observe(self, stats: IterationStats) -> None:
        """Take an iteration in, unless it ran under another revision."""
        if stats.revision == self.revision:
            self._tally.observe(stats)

    def summary(self, now_s: float) -> Figures | None:
        """Return what was seen until now, None when no request got a token."""
        if not self._tally.num_tokens:
            return None
        return self._tally.figures(min(now_s, self.until_s) - self._since_s, self._target_s)
