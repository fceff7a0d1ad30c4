"""Whether the daemon takes new requests now, and why not."""

from sarathid.protocol.control import DaemonState


class Availability:
    """The daemon's state with its reason in words: written by the daemon, read by its servers."""

    def __init__(self) -> None:
        self.state = DaemonState.STARTING
        self.reason = "the engine is loading the model"

    def become(self, state: DaemonState, reason: str) -> None:
        """Change the state."""
        self.state = state
        self.reason = reason

    @property
    def is_ready(self) -> bool:
        return self.state is DaemonState.READY

    @property
    def takes_requests(self) -> bool:
        """Whether a request would be taken: it waits where an engine is about to take another one's place."""
        return self.state in (DaemonState.READY, DaemonState.RESTARTING)
