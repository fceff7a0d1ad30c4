"""An answer as labelled facts, laid out in lines: the same on a terminal's screen and in its scroll-back."""

import re
from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import TypeAlias

Fact: TypeAlias = tuple[str, str]
"""A label, empty where the fact belongs to the one before it, and a sentence."""

LABEL_WIDTH = 11
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:ms|s)\b|%)")
_NO_BREAK_SPACE = "\u00a0"


def lay_out(facts: Iterable[Fact], width: int) -> Iterator[Fact]:
    """Yield the facts in lines of at most `width` cells, their labels' column included; no number loses its unit."""
    for label, words in facts:
        joined = _BEFORE_UNIT.sub(_NO_BREAK_SPACE, words)
        for number, line in enumerate(wrap(joined, max(1, width - LABEL_WIDTH)) or [""]):
            yield "" if number else label, line.replace(_NO_BREAK_SPACE, " ")


def as_text(facts: Iterable[Fact]) -> str:
    """Return one line a fact."""
    return "\n".join(f"{label:<{LABEL_WIDTH}}{words}".rstrip() for label, words in facts)
