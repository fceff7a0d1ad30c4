"""Labelled facts as lines."""

from collections.abc import Iterable

from rich.text import Text

from sarathictl.state.facts import LABEL_WIDTH, Fact, lay_out
from sarathictl.tui.renderables.line import line
from sarathictl.tui.renderables.look import Look


def draw_facts(facts: Iterable[Fact], width: int, look: Look) -> list[Text]:
    """Return the facts in lines of at most `width` cells."""
    return [
        line([(f"{label:<{LABEL_WIDTH}}", look.strong), (words, look.plain)]) for label, words in lay_out(facts, width)
    ]
