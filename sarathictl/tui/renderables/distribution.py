"""How long something took, as a distribution: a column a range of times, on logarithmic scales."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import LatencyFigures
from sarathictl.state.latencies import bins
from sarathictl.tui.renderables.line import Piece, column_of, fit, line
from sarathictl.tui.renderables.look import Look

_TICKS_S = tuple(digit * 10.0**power for power in range(-4, 4) for digit in (1, 2, 5))
_MARGIN = 1.15


def draw_distribution(
    figures: LatencyFigures, target_s: float | None, width: int, height: int, look: Look
) -> list[Text]:
    """Return `height` lines: columns, an axis with its times, and where the percentiles lie."""
    if not figures.count:
        return [fit(line([(" nothing seen yet", look.faint)]), width)]
    edges_s = _edges(figures, target_s, width - 2)
    counts = bins(figures.histogram, edges_s)
    lines = [
        *_columns(counts, edges_s, target_s, max(1, height - 2), look),
        line([(" ", look.plain), (_scale(edges_s), look.faint)]),
        line([(" ", look.plain), (_marks(figures, edges_s), look.strong)]),
    ]
    return [fit(text, width) for text in lines[:height]]


def _edges(figures: LatencyFigures, target_s: float | None, num_columns: int) -> list[float]:
    """Return the times between the columns, each the same multiple of the one before."""
    shortest_s = max(figures.histogram.percentile(0.0) or 0.0, 1e-4)
    longest_s = max(figures.max_s or 0.0, target_s or 0.0, shortest_s)
    low, high = math.log(shortest_s / _MARGIN), math.log(longest_s * _MARGIN)
    num_columns = max(1, num_columns)
    return [math.exp(low + (high - low) * index / num_columns) for index in range(num_columns + 1)]


def _columns(
    counts: Sequence[int], edges_s: Sequence[float], target_s: float | None, num_rows: int, look: Look
) -> Iterator[Text]:
    top = math.log1p(max(counts))
    target = None if target_s is None else _position(target_s, edges_s)
    for row in reversed(range(num_rows)):
        cells = [_cell(index, count, target, top, num_rows, row, look) for index, count in enumerate(counts)]
        runs = ((style, "".join(glyph for glyph, _ in run)) for style, run in groupby(cells, key=lambda cell: cell[1]))
        yield line([(" ", look.plain), *((glyphs, style) for style, glyphs in runs)])


def _cell(index: int, count: int, target: int | None, top: float, num_rows: int, row: int, look: Look) -> Piece:
    share = math.log1p(count) / top * num_rows - row
    if share > 0.0:
        return column_of(share), look.over if target is not None and index > target else look.decode
    return ("┊", look.slo) if index == target else (" ", look.plain)


def _scale(edges_s: Sequence[float]) -> str:
    """Return round times under the columns that they belong to, as many as keep apart."""
    cells = ["─"] * (len(edges_s) - 1)
    free = 0
    for tick_s in _TICKS_S:
        name = f"┴{units.short_duration(tick_s)}"
        position = _position(tick_s, edges_s)
        if position is not None and position >= free and position + len(name) <= len(cells):
            cells[position : position + len(name)] = name
            free = position + len(name) + 2
    return "".join(cells)


def _marks(figures: LatencyFigures, edges_s: Sequence[float]) -> str:
    """Return the percentiles under the columns that they lie in; where two meet, the higher gives way to the right."""
    cells = [" "] * (len(edges_s) - 1)
    free = 0
    for name, value_s in (
        ("p50", figures.p50_s),
        ("p90", figures.p90_s),
        ("p99", figures.p99_s),
        ("max", figures.max_s),
    ):
        position = None if value_s is None else _position(value_s, edges_s)
        words = f"▴{name}"
        if position is not None and max(position, free) + len(words) <= len(cells):
            start = max(position, free)
            cells[start : start + len(words)] = words
            free = start + len(words) + 1
    return "".join(cells)


def _position(time_s: float, edges_s: Sequence[float]) -> int | None:
    """Return the column that a time lies in, None outside all."""
    low, high = math.log(edges_s[0]), math.log(edges_s[-1])
    share = (math.log(time_s) - low) / (high - low)
    return int(share * (len(edges_s) - 1)) if 0.0 <= share < 1.0 else None
