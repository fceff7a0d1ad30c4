"""How quantities look to a person, and the durations a person writes; the only place with milliseconds."""

import math
import re
import time

from sarathid.errors import ConfigError

_GIB = 1 << 30
_MIB = 1 << 20
_KIB = 1 << 10
_DAY_S = 86_400.0
_SECONDS_PER_UNIT = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(us|ms|s|m|h)")

ABSENT = "—"


def parse_duration_s(text: str) -> float:
    """Return the seconds in `"100ms"`, `"2s"`, `"1.5m"` or `"1h"`; the unit is not optional.

    Raises `ConfigError` when it is none of these, or not a time between 0 and a day.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not a duration; write 100ms, 2s, 1.5m or 1h")
    seconds = float(match[1]) * _SECONDS_PER_UNIT[match[2]]
    if not 0.0 < seconds <= _DAY_S:
        raise ConfigError(f"{text!r} is not a duration between 0 and a day")
    return seconds


def duration(seconds: float | None) -> str:
    """Return `"412 ms"`, `"1.21 s"`, `"2 m 05 s"` or `"3 h 12 m"`: at most three digits and a unit."""
    if seconds is None:
        return ABSENT
    if seconds < 0.9995:
        return f"{_three_digits(seconds * 1e3)} ms"
    if seconds < 99.95:
        return f"{_three_digits(seconds)} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest_s:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} m"


def exact_duration(seconds: float) -> str:
    """Return a duration as `parse_duration_s` reads it back, to the microsecond: `"100ms"`, `"2s"`."""
    if seconds >= 1.0:
        return f"{round(seconds, 6):.10g}s"
    return f"{round(seconds * 1e3, 3):.10g}ms"


def short_duration(seconds: float | None) -> str:
    """Return a duration without the space before its unit, for table cells: `"412ms"`, `"1.21s"`."""
    return duration(seconds).replace(" ", "")


def duration_name(span_s: float) -> str:
    """Return the name of a whole span: `"10 s"`, `"5 m"`, `"1 h"`."""
    for unit_s, unit in ((3600.0, "h"), (60.0, "m")):
        if span_s >= unit_s:
            return f"{span_s / unit_s:.0f} {unit}"
    return f"{span_s:.0f} s"


def size(num_bytes: int) -> str:
    """Return `"1.5 GiB"`, `"98 MiB"`, `"4.2 MiB"` or `"17 KiB"`."""
    if num_bytes >= _GIB:
        return f"{num_bytes / _GIB:.3g} GiB"
    if num_bytes >= 0.9995 * _MIB:
        return f"{_three_digits(num_bytes / _MIB)} MiB"
    return f"{_three_digits(num_bytes / _KIB)} KiB"


def tokens(num_tokens: int) -> str:
    """Return `"1 token"` or `"512 tokens"`."""
    return "1 token" if num_tokens == 1 else f"{num_tokens} tokens"


def number_of(thing: str, number: int) -> str:
    """Return `"1 request"` or `"12 requests"`."""
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"


def times(number: int) -> str:
    """Return `"once"` or `"12 times"`."""
    return "once" if number == 1 else f"{number} times"


def share(part: float | None) -> str:
    """Return a share of one as whole per cent, never rounding the last stall away to 100 %."""
    if part is None:
        return ABSENT
    per_cent = part * 100.0
    return f"{math.floor(per_cent) if 99.0 < per_cent < 100.0 else round(per_cent)} %"


def fine_share(part: float) -> str:
    """Return a share of one in per cent with two digits, however small: `"14 %"`, `"0.28 %"`."""
    per_cent = part * 100.0
    return f"{per_cent:.2g} %" if per_cent < 99.5 else f"{per_cent:.0f} %"


def clock_time(wall_s: float, *, has_tenths: bool = False) -> str:
    """Return local wall-clock time of seconds since the epoch, as `"14:32:06"` or `"14:32:06.9"`."""
    text = time.strftime("%H:%M:%S", time.localtime(wall_s))
    return f"{text}.{int(wall_s % 1.0 * 10)}" if has_tenths else text


def calendar_time(wall_s: float) -> str:
    """Return local date and time of seconds since the epoch, as `"2026-11-23 14:32:06"`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall_s))


def printable(text: str) -> str:
    """Return `text` with every character that a terminal might obey replaced by a dot."""
    return "".join(character if character.isprintable() else "·" for character in text)


def printable_lines(text: str) -> str:
    """Like `printable`, keeping line ends and tabs."""
    return "".join(character if character.isprintable() or character in "\n\t" else "·" for character in text)


def _three_digits(value: float) -> str:
    if value >= 19.95:
        return f"{value:.0f}"
    text = f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".")
