"""The pencils that every picture is drawn with: one style a meaning."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from rich.style import Style

from sarathictl.client.contexts import BadgeColor
from sarathictl.tui.renderables.colors import BADGES, COLORS
from sarathid.protocol.control import RequestState

_NONE = Style()
_BOLD = Style(bold=True)
_FAINT = Style(dim=True)
_REVERSED = Style(reverse=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Styles by meaning; each meaning has a glyph or a word of its own too.

    A `_fill` paints whole cells and has the colour as its ground too, so that rows join without a
    seam. `decode_on_prefill` draws the edge between the two inside one cell, None without colours;
    `is_ascii` says that only ASCII characters may reach the terminal.
    """

    decode: Style
    prefill: Style
    decode_fill: Style
    prefill_fill: Style
    over_fill: Style
    decode_on_prefill: Style | None
    over: Style
    slo: Style
    kv: Style
    preempted: Style
    faint: Style
    selected: Style
    alarm: Style
    notice: Style
    key: Style
    plain: Style = _NONE
    strong: Style = _BOLD
    is_ascii: bool = False

    def badge(self, color: BadgeColor) -> Style:
        """Return how a name in a colour of its own is written."""
        return self.notice if self.notice.color is None else Style(color="#000000", bgcolor=BADGES[color], bold=True)

    def faded(self) -> "Look":
        """Return the look of figures that nobody should go by."""
        return replace(self, plain=self.faint, strong=self.faint, over=self.faint, decode=self.faint)

    def state_style(self, state: RequestState) -> Style:
        """Return how the state of a request is written."""
        styles = {
            RequestState.DECODE: self.decode,
            RequestState.PREFILL: self.prefill,
            RequestState.PREEMPTED: self.preempted,
            RequestState.WAITING: self.faint,
        }
        return styles[state]


@cache
def look_of(theme: str | None, *, is_ascii: bool = False) -> Look:
    """Return the look of a theme, the plain one without a theme: its styles know what they look like in a terminal."""
    return replace(PLAIN_LOOK if theme is None else _make_look(COLORS[theme]), is_ascii=is_ascii)


def _make_look(colors: Mapping[str, str]) -> Look:
    """Return the look in a theme's colours, by the names in `renderables.colors`."""
    return Look(
        decode=Style(color=colors["decode"]),
        prefill=Style(color=colors["prefill"]),
        decode_fill=Style(color=colors["decode"], bgcolor=colors["decode"]),
        prefill_fill=Style(color=colors["prefill"], bgcolor=colors["prefill-shade"]),
        over_fill=Style(color=colors["over"], bgcolor=colors["over"]),
        decode_on_prefill=Style(color=colors["decode"], bgcolor=colors["prefill-shade"]),
        over=Style(color=colors["over"], bold=True),
        slo=Style(color=colors["slo"]),
        kv=Style(color=colors["kv"]),
        preempted=Style(color=colors["preempted"]),
        faint=Style(color=colors["idle"]),
        selected=Style(bgcolor=colors["selected"]),
        alarm=Style(color=colors["on-alarm"], bgcolor=colors["over"], bold=True),
        notice=Style(color=colors["on-notice"], bgcolor=colors["slo"], bold=True),
        key=Style(color=colors["slo"], bold=True),
    )


PLAIN_LOOK = Look(
    decode=_NONE,
    prefill=_NONE,
    decode_fill=_NONE,
    prefill_fill=_NONE,
    over_fill=_BOLD,
    decode_on_prefill=None,
    over=_BOLD,
    slo=_NONE,
    kv=_NONE,
    preempted=_BOLD,
    faint=_FAINT,
    selected=_REVERSED,
    alarm=_REVERSED + _BOLD,
    notice=_REVERSED,
    key=_BOLD,
)
