"""Strings that end a text wherever they appear in it, across token boundaries too."""

from collections.abc import Sequence


class StopStrings:
    """Lets text through up to the first stop string, holding back what may yet become one.

    With `are_shown` that string itself comes through too.
    """

    def __init__(self, stops: Sequence[str], *, are_shown: bool = False) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._are_shown = are_shown
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.is_stopped = False

    def feed(self, text: str) -> str:
        """Return what may be shown now that `text` came; after a stop string, nothing more."""
        if not self._stops:
            return text
        if self.is_stopped:
            return ""
        pending = self._held + text
        end = self._find_stop(pending)
        if end is None:
            end = self._start_of_partial_match(pending)
            self._held = pending[end:]
        return pending[:end]

    def flush(self) -> str:
        """Return what was held back, when no more text comes."""
        held, self._held = self._held, ""
        return "" if self.is_stopped else held

    def _find_stop(self, text: str) -> int | None:
        """Return where the text ends by the stop string that begins first, the shortest of several."""
        found = [(start, start + len(stop)) for stop in self._stops if (start := text.find(stop)) >= 0]
        if not found:
            return None
        self.is_stopped = True
        start, end = min(found)
        return end if self._are_shown else start

    def _start_of_partial_match(self, text: str) -> int:
        """Return where the longest suffix that begins a stop string starts, or the text's end."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if any(stop.startswith(text[start:]) for stop in self._stops):
                return start
        return len(text)
