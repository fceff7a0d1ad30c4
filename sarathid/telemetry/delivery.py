"""A token's way from the engine to its client."""

from typing import NamedTuple

from sarathid.telemetry.span import Span


class Delivery(NamedTuple):
    """The moments (monotonic seconds) of a token behind another one of request `request_id`.

    The stream was done with the token before at `awaited_s`; the engine made this one at `generated_s`, `tbt_s` after
    the one before; the stream read it at `read_s` and had written it at `written_s`.
    """

    request_id: int
    awaited_s: float
    generated_s: float
    tbt_s: float
    read_s: float
    written_s: float

    @property
    def gap_s(self) -> float:
        """The TBT as the client had it, if it reads at once."""
        return self.written_s - self.awaited_s

    @property
    def late_s(self) -> float:
        """How much of it was not the engine's."""
        return self.waiting.seconds + self.writing.seconds

    @property
    def generating(self) -> Span:
        """While the client could have had the token, and the engine had not made it."""
        return Span(self.awaited_s, max(self.awaited_s, self.generated_s))

    @property
    def waiting(self) -> Span:
        """Until the daemon came round to it."""
        ready_s = self.generating.until_s
        return Span(ready_s, max(ready_s, self.read_s))

    @property
    def writing(self) -> Span:
        """Until it was written, which takes until the client has read enough of what was written before."""
        read_s = self.waiting.until_s
        return Span(read_s, max(read_s, self.written_s))
