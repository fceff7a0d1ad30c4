"""Why one stall happened: its worst gap taken apart, and who else waited."""

from collections.abc import Iterator
from textwrap import wrap

from rich.style import Style
from rich.text import Text

from sarathictl import units
from sarathictl.state.sentences import origin, prevention, short_cause_name, stall_sentence
from sarathictl.tui.renderables.line import bar, fit, line
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.stats import ChunkStats, StallCause, StallEvent

_MAX_BAR_CELLS = 20
_MIN_BAR_CELLS = 4
_GOOD_BAR_CELLS = 8
_LENGTH_AND_SHARE_CELLS = 21
_ORIGIN_CELLS = len("  remainder")
_MAX_VICTIM_LINES = 4


def draw_explanation(stall: StallEvent, width: int, look: Look) -> list[Text]:
    """Return the stall as a sentence, what prevents it, its parts as bars, the chunk behind it and all its victims."""
    return [fit(text, width) for text in _explain(stall, width, look)]


def _explain(stall: StallEvent, width: int, look: Look) -> Iterator[Text]:
    for words in wrap(stall_sentence(stall), width):
        yield line([(words, look.strong)])
    for words in wrap("; ".join(_facts(stall)), width):
        yield line([(words, look.plain)])
    yield Text()
    yield line([(f"gap of {stall.victims[0].request_id} = {units.duration(stall.worst_gap_s)}, of which", look.plain)])
    yield from _parts(stall, width, look)
    yield Text()
    if stall.chunk is not None:
        for words in wrap(_chunk(stall, stall.chunk), width):
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


def _parts(stall: StallEvent, width: int, look: Look) -> Iterator[Text]:
    """Yield a line for each cause, the one that took most first; where its seconds come from if there is room."""
    names = {cause: short_cause_name(cause) for cause in stall.parts}
    name_width = max(map(len, names.values()), default=0)
    num_left = width - _LENGTH_AND_SHARE_CELLS - name_width
    has_origin = num_left >= _GOOD_BAR_CELLS + _ORIGIN_CELLS
    num_cells = max(_MIN_BAR_CELLS, min(_MAX_BAR_CELLS, num_left - _ORIGIN_CELLS if has_origin else num_left))
    for cause, seconds in sorted(stall.parts.items(), key=lambda part: -part[1]):
        share = seconds / stall.worst_gap_s if stall.worst_gap_s else 0.0
        yield line(
            [
                (f"  {units.duration(seconds):>8}  ", look.strong),
                (bar(share, num_cells), _style_of(cause, look)),
                (f" {units.share(share):>5}  ", look.plain),
                (f"{names[cause]:<{name_width}}", look.plain),
                (f"  {origin(stall, cause)}" if has_origin else "", look.faint),
            ]
        )


def _style_of(cause: StallCause, look: Look) -> Style:
    styles = {
        StallCause.PREFILL: look.prefill,
        StallCause.DECODE: look.decode,
        StallCause.KV_WAIT: look.kv,
        StallCause.BUBBLE: look.faint,
    }
    return styles.get(cause, look.preempted)


def _chunk(stall: StallEvent, chunk: ChunkStats) -> str:
    last = chunk.start + chunk.length
    when = "" if stall.chunk_iteration is None else f" in iteration {stall.chunk_iteration}"
    more = "".join(_still_to_come(stall, chunk, chunk.num_tokens - last))
    return f"request {chunk.request_id}: tokens {chunk.start + 1} to {last} of {chunk.num_tokens}{when}{more}"


def _still_to_come(stall: StallEvent, chunk: ChunkStats, num_left: int) -> Iterator[str]:
    """Yield what was left of the prompt, in chunks as long as this one, and what these would take at its pace."""
    if not num_left:
        return
    yield f"; {units.tokens(num_left)} of it were still to come"
    prefill_s = stall.parts.get(StallCause.PREFILL)
    if prefill_s is not None and stall.cause is StallCause.PREFILL:
        chunks = units.number_of("chunk", -(-num_left // chunk.length))
        yield f": {chunks} like this, {units.duration(prefill_s * num_left / chunk.length)}"


def _victims(stall: StallEvent) -> str:
    return ", ".join(f"{victim.request_id} ({units.short_duration(victim.tbt_s)})" for victim in stall.victims)
