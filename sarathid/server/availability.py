"""Whether the daemon takes new requests now, and why not."""

from sarathid.protocol.control import DaemonState


class Availability:
    """The daemon's state with its reason in words: written by the daemon, read by its servers."""

    def __init__(self) -> None:
        self.state = DaemonState.STARTING
        self.reason = "the engine is loading the model"
        self._behind_pause = (self.state, self.reason)

    def become(self, state: DaemonState, reason: str) -> bool:
        """Change the state, and return whether that shows.

        A daemon that drains goes on draining, and what becomes of the engine of a paused one shows when it resumes.
        """
        if self.state is DaemonState.DRAINING:
            return False
        if state is not DaemonState.PAUSED:
            self._behind_pause = (state, reason)
            if self.state is DaemonState.PAUSED and state is not DaemonState.DRAINING:
                return False
        self.state, self.reason = state, reason
        return True

    def resume(self) -> None:
        """Come back from a pause, to what became of the engine meanwhile."""
        self.state, self.reason = self._behind_pause

    @property
    def is_ready(self) -> bool:
        return self.state is DaemonState.READY

    @property
    def takes_requests(self) -> bool:
        """Whether a request would be taken: it waits where an engine is about to take another one's place."""
        return self.state in (DaemonState.READY, DaemonState.RESTARTING)
