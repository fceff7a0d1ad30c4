"""The KV cache: how full it is, how it came to be so, and when it will be full."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import MIN_KV_GROWTH, EngineView
from sarathictl.state.window import IterationSample
from sarathictl.tui.renderables.line import Piece, bar, column_of, fit, line
from sarathictl.tui.renderables.look import Look

_MOST_BAR_CELLS = 24
_LEAST_BAR_CELLS = 8
_LABEL_WIDTH = 7


def draw_kv_cache(view: EngineView, width: int, height: int, look: Look) -> list[Text]:
    """Return at most `height` lines: figures, then the use over the iterations that are remembered."""
    lines = [_use(view, width, look), line(_outlook(view, look))]
    num_rows = height - len(lines) - 1
    if num_rows > 0 and len(view.samples) > 1:
        lines += _history(view.samples, max(1, width - _LABEL_WIDTH - 1), num_rows, look)
    return [fit(text, width) for text in lines[:height]]


def _use(view: EngineView, width: int, look: Look) -> Text:
    num_blocks = view.num_blocks_used + view.num_blocks_free
    words = f" {units.share(view.kv_share)}  {view.num_blocks_used} of {num_blocks} blocks"
    if view.info is not None:
        words += f" of {view.info.block_size} tokens, {units.size(view.info.kv_cache_bytes)}"
    num_cells = max(_LEAST_BAR_CELLS, min(_MOST_BAR_CELLS, width - len(words) - 1))
    filled = bar(view.kv_share, num_cells).rstrip()
    return line(
        [(" ", look.plain), (filled, look.kv), ("·" * (num_cells - len(filled)), look.faint), (words, look.plain)]
    )


def _outlook(view: EngineView, look: Look) -> Iterator[Piece]:
    growth = view.kv_growth or 0.0
    if view.kv_full_in_s is not None:
        yield f" +{units.fine_share(growth)}/s, full in {units.duration(view.kv_full_in_s)}", look.preempted
    elif growth < -MIN_KV_GROWTH:
        yield f" −{units.fine_share(-growth)}/s", look.plain
    else:
        yield " steady", look.faint
    if view.info is not None and view.info.num_watermark_blocks:
        yield f" · new requests leave {view.info.num_watermark_blocks} blocks free", look.faint
    if view.num_preempted:
        yield f" · ↯ {view.num_preempted} preempted wait to go on", look.preempted


def _history(samples: Sequence[IterationSample], num_columns: int, num_rows: int, look: Look) -> Iterator[Text]:
    """Yield the most that was used in each stretch of time, the newest at the right, and an axis."""
    start_s, end_s = samples[0].start_s, samples[-1].end_s
    shares = [0.0] * num_columns
    for sample in samples:
        column = min(num_columns - 1, int((sample.end_s - start_s) / (end_s - start_s) * num_columns))
        num_blocks = sample.num_blocks_used + sample.num_blocks_free
        shares[column] = max(shares[column], sample.num_blocks_used / num_blocks if num_blocks else 0.0)
    for column in range(1, num_columns):
        shares[column] = shares[column] or shares[column - 1]  # no iteration ended in it, so nothing changed
    top = _round_top(max(shares))
    for row in reversed(range(num_rows)):
        name = units.share(top) if row == num_rows - 1 else "0 %" if row == 0 else ""
        cells = "".join(column_of(min(1.0, max(0.0, share / top * num_rows - row))) for share in shares)
        yield line([(f"{name:>{_LABEL_WIDTH - 1}}┤", look.faint), (cells, look.kv)])
    words = f"−{units.duration(end_s - start_s)}"
    yield line([(" " * _LABEL_WIDTH + words + "now".rjust(num_columns - len(words)), look.faint)])


def _round_top(share: float) -> float:
    """Return the share at full height: a round one that holds the largest."""
    return next((top for top in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if share <= top), 1.0)
