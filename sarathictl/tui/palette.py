"""All that can be done where somebody is, found by its words, with its key and the command that does the same."""

from collections.abc import Iterator
from functools import partial

from textual.binding import ActiveBinding
from textual.command import DiscoveryHit, Hit, Hits, Provider

from sarathictl.keymap import KEYMAP, Entry

_ENTRIES = {(key.action, entry.words): entry for entry in KEYMAP for key in entry.keys}
_LEFT_OUT = ("move(", "command_palette", "app.")  # moving about in a list, and in here
_WORD_WIDTH = 16


class KeyProvider(Provider):
    """Offers what the keys of the screen and of what has the focus would do."""

    async def discover(self) -> Hits:
        for words, active, entry in self._offers():
            yield DiscoveryHit(words, partial(self._do, active), help=self._help(active, entry))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for words, active, entry in self._offers():
            score = matcher.match(f"{words} {entry.command}")
            if score > 0.0:
                help_ = self._help(active, entry)
                yield Hit(score, matcher.highlight(words), partial(self._do, active), words, help_)

    def _offers(self) -> Iterator[tuple[str, ActiveBinding, Entry]]:
        """Yield what can be done now, in the order of the key map, with its words."""
        doable = {
            (active.binding.action, active.binding.tooltip): active for active in self.screen.active_bindings.values()
        }
        for (action, words), entry in _ENTRIES.items():
            active = doable.get((action, words))
            if active is not None and not action.startswith(_LEFT_OUT):
                yield f"{active.binding.description:<{_WORD_WIDTH}} {words}", active, entry

    def _help(self, active: ActiveBinding, entry: Entry) -> str:
        key = self.app.get_key_display(active.binding)
        return f"{key} · sarathictl {entry.command}" if entry.command else key

    async def _do(self, active: ActiveBinding) -> None:
        await self.app.run_action(active.binding.action, active.node)
