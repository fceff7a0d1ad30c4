"""How long before the device is free the next batch is put together, where the device goes over to it by itself."""

_LEAST_S = 1e-3
_LEAST_SHARE = 0.2  # of an iteration's predicted time
_MARGIN = 2.0  # times what it took, or was off by, of late
_DECAY = 0.9  # in an iteration


class LaunchLead:
    """Long enough that a device hardly ever waits for its host, and no longer: who comes meanwhile waits a batch less.

    It covers twice the longest launch of late, and twice what predictions of late were too long by.
    """

    def __init__(self) -> None:
        self._launch_s = 0.0
        self._excess = 0.0

    def observe_launch(self, seconds: float) -> None:
        """Take in how long it took to put a batch together and hand it over."""
        self._launch_s = max(seconds, _DECAY * self._launch_s)

    def observe_iteration(self, predicted_s: float, seconds: float) -> None:
        """Take in what an iteration was predicted to take, and took."""
        excess = 1.0 - seconds / predicted_s if predicted_s > 0.0 else 0.0
        self._excess = max(excess, _DECAY * self._excess)

    def seconds(self, predicted_s: float) -> float:
        """Return the lead before the end of an iteration that is predicted to take so long."""
        return max(_LEAST_S + _MARGIN * self._launch_s, max(_LEAST_SHARE, _MARGIN * self._excess) * predicted_s)
