"""A moment as an operator writes it: a time of day, or how long ago."""

import re
import time

from sarathictl import units
from sarathid.errors import ConfigError

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?")
_DAY_S = 86_400.0


def read_moment(text: str, newest_s: float) -> float:
    """Return when `"14:32:06.5"`, `"14:32"` or `"-90s"` was, in seconds since the epoch, none later than `newest_s`.

    A time of day is the last such time until then, in local time; how long ago counts from then. Raises `ConfigError`
    when it is neither.
    """
    words = text.strip()
    if words.startswith("-"):
        return newest_s - units.parse_duration_s(words[1:])
    found = _CLOCK.fullmatch(words)
    if found is None:
        raise ConfigError(f"{text!r} is no moment; write 14:32:06 or -90s")
    hours, minutes, seconds = int(found[1]), int(found[2]), float(found[3] or 0.0)
    day = time.localtime(newest_s)
    midnight_s = time.mktime((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0, 0, 0, -1))
    moment_s = midnight_s + hours * 3600.0 + minutes * 60.0 + seconds
    return moment_s if moment_s <= newest_s else moment_s - _DAY_S
