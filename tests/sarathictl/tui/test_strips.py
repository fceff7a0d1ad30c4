from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from sarathictl.tui.renderables.line import line
from sarathictl.tui.widgets.strips import changed_span, strip_of

GROUND = Style(color="white", bgcolor="black")
RED, BLUE = Style(color="red"), Style(color="blue", bgcolor="cyan")


def cells_of(strip: Strip) -> list[tuple[str, Style | None]]:
    """Return each cell with its style; of a blank one only its ground can be seen."""
    return [
        (cell, style if cell != " " or style is None else Style(bgcolor=style.bgcolor))
        for text, style, _ in strip
        for cell in text
    ]


def test_a_line_is_painted_as_rich_would_paint_it() -> None:
    text = line([("decode ", RED), (" ", BLUE), ("42", BLUE), ("  ", RED), ("tokens", Style())])
    rich = Strip(text.render(Console())).adjust_cell_length(24).apply_style(GROUND)
    assert cells_of(strip_of(text, 24, GROUND, Console())) == cells_of(rich)


def test_styles_that_overlap_are_painted_too() -> None:
    text = Text("selected", style="")
    text.stylize(RED, 0, 4)
    text.stylize(Style(bgcolor="blue"))
    assert {style and style.bgcolor for _, style in cells_of(strip_of(text, 8, GROUND, Console()))} == {
        Style(bgcolor="blue").bgcolor
    }


def test_neighbours_that_look_alike_are_sent_to_the_terminal_as_one() -> None:
    text = line([("run ", RED), (" ", Style()), ("44", RED), (" ", BLUE)])
    assert [segment.text for segment in strip_of(text, 8, GROUND, Console())] == ["run  44", " "]


def test_only_what_changed_of_a_line_is_painted_again() -> None:
    old = Strip([Segment("label "), Segment("1234", RED), Segment(" ms")])
    new = Strip([Segment("label "), Segment("1235", RED), Segment(" ms")])
    assert changed_span(old, new) == (9, 1)
    assert changed_span(old, old) is None
    assert changed_span(old, Strip([Segment("label "), Segment("1235", BLUE), Segment(" ms")])) == (6, 4)


def test_what_is_added_to_a_run_is_all_that_is_painted_of_it() -> None:
    old = Strip([Segment("▂▂▂▂    ", RED), Segment(" fill 7 %")])
    new = Strip([Segment("▂▂▂▂▂▂  ", RED), Segment(" fill 7 %")])
    assert changed_span(old, new) == (4, 2)
