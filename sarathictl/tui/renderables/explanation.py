"""Why one stall happened: its worst gap taken apart, and who else waited."""

from collections.abc import Iterator
from textwrap import wrap

from rich.text import Text

from sarathictl import units
from sarathictl.state.sentences import cause_name, prevention, stall_sentence
from sarathictl.tui.renderables.line import bar, fit, line
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.stats import ChunkStats, StallCause, StallEvent

_MAX_BAR_CELLS = 20
_MIN_BAR_CELLS = 4
_WIDTH_WITHOUT_BAR = 46  # of a length, a share, and the name of most causes
_MAX_VICTIM_LINES = 4


def draw_explanation(stall: StallEvent, width: int, look: Look) -> list[Text]:
    """Return the stall as a sentence, what prevents it, its parts as bars, the chunk behind it and all its victims."""
    return [fit(text, width) for text in _explain(stall, width, look)]


def _explain(stall: StallEvent, width: int, look: Look) -> Iterator[Text]:
    num_cells = max(_MIN_BAR_CELLS, min(_MAX_BAR_CELLS, width - _WIDTH_WITHOUT_BAR))
    for words in wrap(stall_sentence(stall), width):
        yield line([(words, look.strong)])
    for words in wrap("; ".join(_facts(stall)), width):
        yield line([(words, look.plain)])
    yield Text()
    yield line([(f"gap of {stall.victims[0].request_id} = {units.duration(stall.worst_gap_s)}, of which", look.plain)])
    for cause, seconds in sorted(stall.parts.items(), key=lambda part: -part[1]):
        yield _part(cause, seconds, stall.worst_gap_s, num_cells, look)
    yield Text()
    if stall.chunk is not None:
        for words in wrap(_chunk(stall.chunk, stall.chunk_iteration), width):
            yield line([(words, look.prefill)])
    for words in wrap(f"{len(stall.victims)} waited: {_victims(stall)}", width)[:_MAX_VICTIM_LINES]:
        yield line([(words, look.plain)])


def _facts(stall: StallEvent) -> Iterator[str]:
    yield f"target {units.duration(stall.target_s)}, {_excess(stall)}"
    yield from prevention(stall)


def _excess(stall: StallEvent) -> str:
    """Return how far above its target the gap was: `"4 % over"`, from half as much again on `"4.1 times it"`."""
    ratio = stall.worst_gap_s / stall.target_s
    return f"{units.fine_share(ratio - 1.0)} over" if ratio < 1.5 else f"{ratio:.1f} times it"


def _part(cause: StallCause, seconds: float, whole_s: float, num_cells: int, look: Look) -> Text:
    share = seconds / whole_s if whole_s else 0.0
    style = {StallCause.PREFILL: look.prefill, StallCause.DECODE: look.decode}.get(cause, look.preempted)
    name = cause_name(cause).split(" (")[0]
    return line(
        [
            (f"  {units.duration(seconds):>8}  ", look.strong),
            (bar(share, num_cells), style),
            (f" {units.share(share):>5}  ", look.plain),
            (name, look.plain),
        ]
    )


def _chunk(chunk: ChunkStats, iteration: int | None) -> str:
    last = chunk.start + chunk.length
    when = "" if iteration is None else f" in iteration {iteration}"
    left = chunk.num_tokens - last
    more = f"; {units.tokens(left)} of it were still to come" if left else ""
    return f"request {chunk.request_id}: tokens {chunk.start + 1} to {last} of {chunk.num_tokens}{when}{more}"


def _victims(stall: StallEvent) -> str:
    return ", ".join(f"{victim.request_id} ({units.short_duration(victim.tbt_s)})" for victim in stall.victims)
