"""A forecast as a table: observed, replayed, and as it would have been, with how far the model is off."""

from collections.abc import Iterator
from textwrap import wrap

from rich.style import Style
from rich.text import Text

from sarathictl import units
from sarathictl.state.comparison import Compared, compare
from sarathictl.state.forecast import basis_in_words, is_trusted, trust_in_words
from sarathictl.tui.renderables.line import Piece, fit, line
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.plan import Planned

_NAME_WIDTH = 10
_WIDTH = 11
_HEADINGS = ("observed", "replayed", "forecast", "± model", "change")


def draw_forecast(planned: Planned, width: int, look: Look) -> list[Text]:
    """Return a heading, a line a figure, what the forecast rests on and how far to trust it.

    A forecast by a replay that does not tell what did happen is grey.
    """
    if not is_trusted(planned):
        look = look.faded()
    heading = " " * _NAME_WIDTH + "".join(f"{name:>{_WIDTH}}" for name in _HEADINGS)
    return [
        fit(line([(heading, look.faint)]), width),
        *(fit(line(_row(compared, look)), width) for compared in compare(planned)),
        *_words(basis_in_words(planned), width, look),
        *_words(trust_in_words(planned), width, look),
    ]


def _words(words: str, width: int, look: Look) -> Iterator[Text]:
    return (line([(part, look.faint)]) for part in wrap(words, width))


def _row(compared: Compared, look: Look) -> list[Piece]:
    error = units.ABSENT if compared.error is None else f"±{abs(compared.error):.0%}"
    change = units.ABSENT if compared.change is None else f"{compared.change:+.0%}"
    return [
        (f"{compared.name:<{_NAME_WIDTH}}", look.plain),
        (f"{compared.observed:>{_WIDTH}}{compared.replayed:>{_WIDTH}}", look.faint),
        (f"{compared.expected:>{_WIDTH}}", _style(compared, look)),
        (f"{error:>{_WIDTH}}{change:>{_WIDTH}}", look.plain if compared.is_trusted else look.faint),
        _verdict(compared, look),
    ]


def _style(compared: Compared, look: Look) -> Style:
    if not compared.is_trusted:
        return look.faint
    return look.over if compared.is_held is False else look.strong


def _verdict(compared: Compared, look: Look) -> Piece:
    if compared.is_held is None:
        return "", look.plain
    return ("  ✔", look.plain) if compared.is_held else ("  ✘", look.over)
