"""The seam between an engine and the nodes that its ranks run on."""

from collections.abc import Sequence
from typing import Protocol

from sarathid.executor.rank_messages import RankMessage

LAST_BREATH_TIMEOUT_S = 0.5


class Port(Protocol):
    """Where ranks are heard; its `fileno` can be waited on."""

    def fileno(self) -> int: ...

    def receive(self) -> RankMessage | None:
        """Return what a rank says, waiting if nobody says anything; None when one of them is no more."""
        ...


class RankNode(Protocol):
    """The ranks of one node; `place` is behind their names where that is another node than the engine's."""

    @property
    def place(self) -> str: ...

    @property
    def ports(self) -> Sequence[Port]: ...

    def put(self, batch: bytes) -> None:
        """Give each rank a batch, or with no bytes ask it whether it lives; does not wait."""
        ...

    def how_lost(self) -> str | None:
        """Return which rank is no more and how it ended; None where all that ended did so of their own accord.

        The end of one brings down others, who may be heard first: so this waits for a moment.
        """
        ...

    def close(self) -> None:
        """End all ranks at once; safe to call twice."""
        ...
