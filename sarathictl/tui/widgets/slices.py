"""A panel in slices side by side, for one that changes at every picture and mostly at one place."""

from collections.abc import Iterable, Sequence

from textual.app import ComposeResult
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from sarathictl.tui.widgets.panel import Panel


class Slice(Widget):
    """Some columns of a panel, all that no other slice takes without a `width`."""

    def __init__(self, panel: "SlicedPanel", width: int | None) -> None:
        super().__init__()
        self._panel = panel
        self._own = Region()
        self.styles.width = "1fr" if width is None else width
        self.styles.height = "1fr"

    def on_resize(self) -> None:
        self._own = Region(self.region.x - self._panel.content_region.x, 0, *self.size)
        self.refresh()  # the panel may have been drawn at this size before

    def render_line(self, y: int) -> Strip:
        return self._panel.render_line(y).crop(self._own.x, self._own.right)

    def refresh_parts(self, regions: Iterable[Region]) -> None:
        """Paint what lies in it of these regions of the panel again."""
        inside = [part.translate((-self._own.x, 0)) for region in regions if (part := self._own.intersection(region))]
        if inside:
            self.refresh(*inside)


class SlicedPanel(Panel):
    """Sends of a line no more than the slices in which it changed: Textual sends a widget's from its left edge on."""

    def __init__(self, widths: Sequence[int | None], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.styles.layout = "horizontal"
        self._slices = [Slice(self, width) for width in widths]

    def compose(self) -> ComposeResult:
        yield from self._slices

    def refresh_parts(self, regions: Sequence[Region]) -> None:
        for part in self._slices:
            part.refresh_parts(regions)
