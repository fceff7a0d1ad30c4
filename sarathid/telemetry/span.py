"""A stretch of monotonic time."""

from typing import NamedTuple


class Span(NamedTuple):
    """From one moment to another that is not before it."""

    from_s: float
    until_s: float

    @property
    def seconds(self) -> float:
        return self.until_s - self.from_s

    def within(self, other: "Span") -> "Span":
        """Return what of this lies in `other`, an empty span where nothing does."""
        from_s = max(self.from_s, other.from_s)
        return Span(from_s, max(from_s, min(self.until_s, other.until_s)))
