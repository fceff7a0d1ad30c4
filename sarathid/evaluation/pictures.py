"""Draws figures with matplotlib, an optional extra."""

from pathlib import Path
from typing import TYPE_CHECKING

# Deferred in `draw`: matplotlib is optional and takes a second to load.
if TYPE_CHECKING:
    from matplotlib.axes import Axes

from sarathid.evaluation.row import FigureResult, Row

_INCHES = (8.0, 4.5)
_BAR_HEIGHT = 0.38


def draw(directory: Path, result: FigureResult) -> None:
    """Write `<name>.svg` and `<name>.png`: curves where the figure has them, else bars beside the paper's.

    Raises `ImportError` without matplotlib.
    """
    # Deferred: optional.
    from matplotlib.figure import Figure as Canvas

    num_rows = len(_comparable(result))
    height = _INCHES[1] if result.curves else max(_INCHES[1], 0.35 * num_rows)
    canvas = Canvas(figsize=(_INCHES[0], height), layout="constrained")
    axes = canvas.subplots()
    axes.set_title(f"{result.title} (simulated)", fontsize=10)
    if result.curves:
        _draw_curves(axes, result)
    else:
        _draw_bars(axes, _comparable(result))
    for suffix in ("svg", "png"):
        canvas.savefig(directory / f"{result.name}.{suffix}")


def _draw_curves(axes: "Axes", result: FigureResult) -> None:
    for curve in result.curves:
        axes.plot(*zip(*curve.points, strict=True), label=curve.label)
    axes.set_xlabel(result.x_label)
    axes.set_ylabel(result.y_label)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.legend()


def _draw_bars(axes: "Axes", rows: list[Row]) -> None:
    places = range(len(rows))
    axes.barh(
        [place - _BAR_HEIGHT / 2 for place in places], [row.ours or 0.0 for row in rows], _BAR_HEIGHT, label="ours"
    )
    axes.barh(
        [place + _BAR_HEIGHT / 2 for place in places], [row.paper or 0.0 for row in rows], _BAR_HEIGHT, label="paper"
    )
    axes.set_yticks(list(places), [_label(row) for row in rows], fontsize=7)
    axes.invert_yaxis()
    axes.legend()


def _comparable(result: FigureResult) -> list[Row]:
    """Return the gains, or without any the values: bars of one picture are of one kind."""
    gains = [row for row in result.rows if row.baseline is not None]
    return gains or list(result.rows)


def _label(row: Row) -> str:
    over = f" / {row.baseline}" if row.baseline else ""
    return " ".join(part for part in (row.model, row.workload, row.slo, row.system + over) if part)
