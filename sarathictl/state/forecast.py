"""What a plan says, as a table: what was observed, how well a replay of it does, and what other settings would give."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sarathictl import units
from sarathictl.state.retuning import chosen_in_words
from sarathid.protocol.changes import Figures
from sarathid.protocol.plan import Candidate, Planned
from sarathid.protocol.slo import SLO, SLOChange
from sarathid.protocol.stats import EngineSettings

TRUSTED_ERROR = 0.2
_LATENCY_RESOLUTION_S = 0.001  # differences below tell nothing of a model


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: its name, its value in figures, and how it looks."""

    name: str
    value: Callable[[Figures], float | None]
    shown: Callable[[float | None], str]
    is_latency: bool = True


def _count(value: float | None) -> str:
    return units.ABSENT if value is None else f"{value:.0f}"


def _share(value: float | None) -> str:
    return units.ABSENT if value is None else units.fine_share(value)


TBT_P99 = Row("TBT P99", lambda figures: figures.tbt_p99_s, units.duration)
TTFT_P50 = Row("TTFT P50", lambda figures: figures.ttft_p50_s, units.duration)
TTFT_P95 = Row("TTFT P95", lambda figures: figures.ttft_p95_s, units.duration)
TOKENS_PER_S = Row("tokens/s", lambda figures: figures.tokens_per_s, _count, is_latency=False)
STALLS = Row("stalls", lambda figures: figures.num_stalls, _count, is_latency=False)
TBT_MAX = Row("TBT max", lambda figures: figures.tbt_max_s, units.duration)
BUBBLE = Row("bubble", lambda figures: figures.bubble, _share, is_latency=False)
ROWS = (
    Row("TBT P50", lambda figures: figures.tbt_p50_s, units.duration),
    TBT_P99,
    TTFT_P50,
    Row("TTFT P99", lambda figures: figures.ttft_p99_s, units.duration),
    TOKENS_PER_S,
)
EXTREMES = (TBT_MAX, STALLS, BUBBLE)  # one gap more or less changes them: they say nothing of how good a replay is


def plan_lines(planned: Planned) -> Iterator[str]:
    """Yield the words and the table: what it rests on, how far it is off, what each candidate would give."""
    yield basis_in_words(planned)
    yield f"replayed on the cost profile {planned.profile}, the device taking {planned.correction:.2f}x its time"
    yield trust_in_words(planned)
    yield ""
    yield from _aligned(_table(planned))


def meets(figures: Figures, slo: SLO) -> bool:
    """Return whether figures hold the targets, as far as there are any and anything was seen."""
    return all(
        target_s is None or value_s is None or value_s <= target_s
        for value_s, target_s in ((figures.tbt_p99_s, slo.tbt_s), (figures.ttft_p95_s, slo.ttft_s))
    )


def any_holds(planned: Planned) -> bool:
    """Return whether a candidate would hold its targets; without candidates, whether what is in force does."""
    if not planned.forecasts:
        return meets(planned.observed, planned.current.slo)
    return any(meets(forecast.figures, forecast.settings.slo) for forecast in planned.forecasts)


def worst_error(planned: Planned) -> tuple[str, float] | None:
    """Return the figure that the replay of what happened is most wrong about, and by which share; None without any."""
    errors = {row.name: error for row in ROWS if (error := error_of(row, planned)) is not None}
    return max(errors.items(), key=lambda named: abs(named[1]), default=None)


def is_trusted(planned: Planned) -> bool:
    """Return whether the replay of what happened is near enough to it, in every figure, to go by what it says."""
    worst = worst_error(planned)
    return worst is None or abs(worst[1]) <= TRUSTED_ERROR


def candidate_of(settings: EngineSettings) -> Candidate:
    """Return the candidate that comes to these settings, whatever is in force."""
    slo = SLOChange(tbt_s=settings.slo.tbt_s, ttft_s=settings.slo.ttft_s)
    return Candidate(budget=settings.budget, policy=settings.policy, slo=slo)


def basis_in_words(planned: Planned) -> str:
    """Return what a plan rests on: `"last 5 m 00 s: 41 requests"`, and which of them are guessed or left out."""
    return f"last {units.duration(planned.span_s)}: {', '.join(_requests(planned))}"


def _requests(planned: Planned) -> Iterator[str]:
    yield f"{planned.num_requests} requests"
    if planned.num_guessed:
        yield f"{planned.num_guessed} of them unfinished and taken to be as long as they may be"
    if planned.num_left_out:
        yield f"{planned.num_left_out} left out that got no token"


def trust_in_words(planned: Planned) -> str:
    """Return how far the replay of what happened is off, and whether that is too far for figures."""
    worst = worst_error(planned)
    if worst is None:
        return "too little was seen to say how well this predicts"
    name, error = worst
    words = f"it predicts what did happen within {units.share(abs(error))} ({name} is most off)"
    return words if is_trusted(planned) else f"{words}: take it as a direction, not as figures"


def told_extremes(planned: Planned) -> list[Row]:
    """Return the figures beyond `ROWS` that there are: bubbles take a pipeline."""
    return [row for row in EXTREMES if row.value(planned.observed) is not None or row is STALLS]


def error_of(row: Row, planned: Planned) -> float | None:
    """Return the share by which the replay of what happened is off; None where nothing was seen."""
    expected, seen = row.value(planned.replayed), row.value(planned.observed)
    if expected is None or not seen:
        return None
    if row.is_latency and abs(expected - seen) < _LATENCY_RESOLUTION_S:
        return 0.0
    return expected / seen - 1.0


def _table(planned: Planned) -> Iterator[list[str]]:
    names = _names(planned.current, [forecast.settings for forecast in planned.forecasts])
    yield ["", "observed", "replayed", "error", *names]
    for row in (*ROWS, *told_extremes(planned)):
        error = error_of(row, planned) if row in ROWS else None
        cells = [row.shown(row.value(figures)) for figures in (planned.observed, planned.replayed)]
        forecasts = [row.shown(row.value(forecast.figures)) for forecast in planned.forecasts]
        yield [row.name, *cells, units.ABSENT if error is None else f"{error:+.0%}", *forecasts]
    verdicts = [_verdict(figures, planned.current.slo) for figures in (planned.observed, planned.replayed)]
    candidates = [_verdict(forecast.figures, forecast.settings.slo) for forecast in planned.forecasts]
    yield ["targets", *verdicts, "", *candidates]


def _names(current: EngineSettings, candidates: Sequence[EngineSettings]) -> list[str]:
    """Name each candidate by the settings that one of them, at least, would change."""
    before, after = chosen_in_words(current), [chosen_in_words(settings) for settings in candidates]
    changed = [name for name in before if any(words[name] != before[name] for words in after)]
    return [", ".join(f"{name} {words[name]}" for name in changed) or "as it is" for words in after]


def _verdict(figures: Figures, slo: SLO) -> str:
    if slo.tbt_s is None and slo.ttft_s is None:
        return units.ABSENT
    return "held" if meets(figures, slo) else "missed"


def _aligned(table: Iterator[list[str]]) -> Iterator[str]:
    rows: Sequence[list[str]] = list(table)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *cells in rows:
        rest = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *rest]).rstrip()
