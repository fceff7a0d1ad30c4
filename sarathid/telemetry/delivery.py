"""A token's way from the engine to its client."""

from typing import NamedTuple

from sarathid.telemetry.pauses import Pauses
from sarathid.telemetry.span import Span


class Delivery(NamedTuple):
    """The moments (monotonic seconds) of a token behind another one of request `request_id`.

    The stream was done with the token before at `awaited_s`; the engine made this one at `generated_s`, `tbt_s` after
    the one before; it was written at `written_s`, and nothing could be in `unread`, since the client did not read.
    """

    request_id: int
    awaited_s: float
    generated_s: float
    tbt_s: float
    written_s: float
    unread: Pauses

    @property
    def gap_s(self) -> float:
        """The TBT as the client had it, if it reads at once."""
        return self.written_s - self.awaited_s

    @property
    def late_s(self) -> float:
        """How much of it was not the engine's."""
        return self.under_way.seconds

    @property
    def generating(self) -> Span:
        """While the client could have had the token, and the engine had not made it."""
        return Span(self.awaited_s, max(self.awaited_s, self.generated_s))

    @property
    def under_way(self) -> Span:
        """From when it was made, and wanted, until it was written."""
        ready_s = self.generating.until_s
        return Span(ready_s, max(ready_s, self.written_s))
