"""What a figure of the paper comes to here: rows beside the published values, and curves."""

from dataclasses import dataclass

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One value, ours beside the paper's.

    With a `baseline` it is the gain of `system` over it; without, the value of `system` itself. `paper` is None where
    none is published, `ours` None where nothing that was tried holds the objective. It `is_lower_bound` when the
    baseline holds not even the lowest rate that was tried. `num_requests` is the sample size, 0 for a value read off
    the cost model.
    """

    figure: str
    model: str
    workload: str
    slo: str
    system: str
    baseline: str | None
    ours: float | None
    paper: float | None
    unit: str
    num_requests: int
    is_lower_bound: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours over the paper's."""
        return None if self.ours is None or not self.paper else self.ours / self.paper


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a line in a picture."""

    label: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureResult:
    """A figure: its rows, and curves where it has axes of its own; `notes` say how it was made."""

    name: str
    title: str
    notes: str
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...] = ()
    x_label: str = ""
    y_label: str = ""
