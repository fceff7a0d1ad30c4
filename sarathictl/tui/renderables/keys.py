"""The keys that do something now, on one line."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.style import Style
from rich.text import Text

from sarathictl.tui.renderables.line import as_many_as_fit, fit, line
from sarathictl.tui.renderables.look import Look


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how it is written, what it does in a word, and the action that a click on it runs."""

    name: str
    word: str
    action: str


def draw_keys(keys: Sequence[Key], width: int, look: Look) -> Text:
    """Return the line: the last key, which ends the program, is always there, and of the others as many as fit."""
    *others, last = (_draw(key, look) for key in keys)
    shown = as_many_as_fit(others, width - last.cell_len - 4)
    return fit(Text.assemble(" ", shown, "  ", last), width)


def _draw(key: Key, look: Look) -> Text:
    click = Style.from_meta({"@click": key.action})
    return line([(key.name, look.key + click), (f" {key.word}", look.plain + click)])
