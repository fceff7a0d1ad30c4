"""What the keys do and what the picture means, as a page."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.text import Text

from sarathictl.keymap import SCREEN_PLACES, Entry, Place, entries_at
from sarathictl.tui.renderables.line import fit, line
from sarathictl.tui.renderables.look import Look

MIN_WIDTH_FOR_COLUMNS = 96
_KEYS_WIDTH = 10
_GAP = 2
_LEFT = (Place.EVERYWHERE, Place.CHANGES, Place.LIVE, Place.TAPE, Place.REQUESTS)


def draw_help(width: int, look: Look) -> list[Text]:
    """Return the keys by where they are for, in two columns where there is room, and then what the glyphs mean."""
    if width < MIN_WIDTH_FOR_COLUMNS:
        lines = list(_sections(SCREEN_PLACES, look))
    else:
        right = tuple(place for place in SCREEN_PLACES if place not in _LEFT)
        lines = _side_by_side(list(_sections(_LEFT, look)), list(_sections(right, look)), (width - _GAP) // 2)
    return [fit(text, width) for text in (*lines, *_legend(look))]


def _sections(places: Sequence[Place], look: Look) -> Iterator[Text]:
    for place in places:
        yield line([(place.value.upper(), look.strong)])
        yield from (_entry(entry, look) for entry in entries_at(place))
        yield Text()


def _entry(entry: Entry, look: Look) -> Text:
    return line([(f"{entry.written:<{_KEYS_WIDTH}}", look.key), (entry.words, look.plain)])


def _side_by_side(left: list[Text], right: list[Text], width: int) -> list[Text]:
    empty = Text()
    return [
        Text.assemble(fit(one or empty, width), " " * _GAP, other or empty) for one, other in zip_longest(left, right)
    ]


def _legend(look: Look) -> Iterator[Text]:
    yield line([("PICTURE", look.strong)])
    for sign, style, words in (
        ("█", look.decode, "decode, always at the bottom: decodes go first"),
        ("▒", look.prefill, "prefill, up to the budget ╌"),
        ("▔", look.prefill, "zoomed out: the largest of the iterations that a bar is the mean of"),
        ("░", look.plain, "running now;  · nothing ran"),
        ("!", look.over, "a decode waited longer than the target ┄, as wide as it waited"),
        ("↯", look.preempted, "preempted: its KV cache was taken, and is computed again"),
    ):
        yield line([(f"{sign}  ", style), (words, look.plain)])
    yield Text()
    yield line([("A line of STALLS is one iteration that kept decodes waiting: who waited longest,", look.faint)])
    yield line([("how many others, how long, and whose prefill it was.", look.faint)])
