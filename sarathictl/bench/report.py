"""The one table that compares settings under the same load."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sarathictl import units
from sarathictl.bench.measurement import Measurement
from sarathictl.bench.run_files import Summary

_LABEL_WIDTH = 40


@dataclass(frozen=True, slots=True)
class _Row:
    """One figure of every setting; `compare` puts the first and the second side by side."""

    label: str
    value_of: Callable[[Measurement], float | None]
    show: Callable[[float | None], str]
    compare: Callable[[float, float], str]


def _times_less(before: float, after: float) -> str:
    if min(before, after) <= 0.0:
        return ""
    ratio = max(before, after) / min(before, after)
    if ratio < 1.05:
        return "same"
    return f"{ratio:.1f}x {'less' if before > after else 'more'}"


def _per_cent(before: float, after: float) -> str:
    return f"{after / before - 1.0:+.1%}" if before > 0.0 else ""


def _count(value: float | None) -> str:
    return units.ABSENT if value is None else f"{value:.0f}"


def _rate(value: float | None) -> str:
    return units.ABSENT if value is None else f"{value:.1f}"


_ROWS = (
    _Row("streams: time between tokens, P50", lambda found: found.tbt.p50_s, units.duration, _times_less),
    _Row("streams: time between tokens, P99", lambda found: found.tbt.p99_s, units.duration, _times_less),
    _Row("streams: time between tokens, max", lambda found: found.tbt.max_s, units.duration, _times_less),
    _Row("streams: stalls (gaps above target)", lambda found: found.num_stalls, _count, _times_less),
    _Row("prompts: time to first token, P50", lambda found: found.ttft.p50_s, units.duration, _times_less),
    _Row("prompts: time to first token, max", lambda found: found.ttft.max_s, units.duration, _times_less),
    _Row("stream tokens/s", lambda found: found.stream_tokens_per_s, _rate, _per_cent),
    _Row("all tokens/s, prefill and decode", lambda found: found.tokens_per_s, _rate, _per_cent),
    _Row("failed requests", lambda found: float(len(found.failures)), _count, lambda _before, _after: ""),
)


def describe(summary: Summary) -> str:
    """Return the load in a sentence and the table under it, a column a setting, and what failed.

    Two settings get a third column: what the second is against the first.
    """
    measurements = summary.measurements
    titles = [found.setting.label for found in measurements]
    widths = [max(len(title), 10) + 2 for title in titles]
    header = "".join(title.rjust(width) for title, width in zip(titles, widths, strict=True))
    lines = [_sentence(summary), "", " " * _LABEL_WIDTH + header]
    lines += [_line(row, measurements, widths) for row in _ROWS]
    lines += [f"failed under {found.setting.label}: {failure}" for found in measurements for failure in found.failures]
    if summary.num_records_lost:
        lines.append(f"{summary.num_records_lost} records of the stats stream were lost: all tokens/s is too low")
    return "\n".join(lines)


def _sentence(summary: Summary) -> str:
    plan, target_s = summary.plan, summary.target_s
    target = "no TBT target" if target_s is None else f"TBT target {units.duration(target_s)}"
    return (
        f"{plan.num_streams} streams decode while a prompt of {plan.num_prompt_tokens} tokens arrives every "
        f"{units.duration(plan.period_s)}; {units.duration(summary.measurements[0].duration_s)} a column; {target}"
    )


def _line(row: _Row, measurements: Sequence[Measurement], widths: Sequence[int]) -> str:
    values = [row.value_of(found) for found in measurements]
    shown = "".join(row.show(value).rjust(width) for value, width in zip(values, widths, strict=True))
    return f"{row.label:<{_LABEL_WIDTH}}{shown}{_comparison(row, values).rjust(13)}".rstrip()


def _comparison(row: _Row, values: Sequence[float | None]) -> str:
    match values:
        case (float() | int() as before, float() | int() as after):
            return row.compare(before, after)
        case _:
            return ""
