"""The keys that do something now, in one line that no width cuts."""

from rich.text import Text
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget

from sarathictl.keymap import LINE
from sarathictl.tui.renderables.keys import Key, draw_keys
from sarathictl.tui.renderables.look import PLAIN_LOOK, Look


class KeyBar(Widget):
    """Shows the bindings of the screen and of what has the focus, as they change."""

    auto_links = False  # keys have a colour of their own

    look: reactive[Look] = reactive(PLAIN_LOOK)

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._follow)

    def render(self) -> Text:
        shown = {active.binding.action: active.binding for active in self.screen.active_bindings.values()}
        keys = [
            Key(*(words or (self.app.get_key_display(binding), binding.description)), action)
            for action, words in LINE.items()
            if (binding := shown.get(action)) is not None
        ]
        return draw_keys(keys, self.size.width, self.look)

    def _follow(self, screen: Screen[object]) -> None:
        del screen
        self.refresh()
