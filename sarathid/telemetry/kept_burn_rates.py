"""The burn rates' minutes in a file, so that a daemon that was started again goes on with those before."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from sarathid.errors import ConfigError
from sarathid.paths import replace_file
from sarathid.telemetry.burn_rate import MAX_SLICES, OBJECTIVES, SLICE_S, BurnRates, Slice

FILE_NAME = "burn_rates.json"
EVERY_S = 60.0
MAX_FILE_BYTES = 1 << 17

_Counts: TypeAlias = Annotated[dict[str, Annotated[int, Meta(ge=0)]], Meta(max_length=len(OBJECTIVES))]

log = logging.getLogger(__name__)


class KeptMinute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happened in the minute from `time_s` on, in seconds of the wall clock."""

    time_s: float
    events: _Counts
    misses: _Counts


KeptMinutes: TypeAlias = Annotated[tuple[KeptMinute, ...], Meta(max_length=MAX_SLICES)]


class KeptBurnRates:
    """Writes the minutes of burn rates every minute and at the end; what a crash loses is the last one.

    `offset_s` is what the wall clock is ahead of the clock that the rates are counted by.
    """

    def __init__(self, directory: Path, rates: BurnRates, offset_s: float) -> None:
        self._path = directory / FILE_NAME
        self._rates = rates
        self._offset_s = offset_s
        self._is_failing = False

    def read(self, now_s: float) -> None:
        """Take in the minutes that were kept; none, and a line in the log, when the file is broken."""
        try:
            with self._path.open("rb") as file:
                kept = msgspec.json.decode(file.read(MAX_FILE_BYTES), type=KeptMinutes)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            log.warning("the burn rates kept in %s are ignored: %s", self._path, error)
            return
        found = [Slice(self._index(minute.time_s), minute.events, minute.misses) for minute in kept]
        self._rates.restore(found, now_s)

    async def run(self) -> None:
        """Write now and then, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.write()

    def write(self) -> None:
        """Replace what is kept; where that fails, say so once and go on."""
        kept = [
            KeptMinute(part.index * SLICE_S + self._offset_s, dict(part.events), dict(part.misses))
            for part in self._rates.slices
        ]
        try:
            replace_file(self._path, msgspec.json.encode(kept))
            self._is_failing = False
        except (OSError, ConfigError) as error:
            if not self._is_failing:
                log.warning("burn rates can't be kept in %s: %s", self._path, error)
            self._is_failing = True

    def _index(self, wall_s: float) -> int:
        return round((wall_s - self._offset_s) / SLICE_S)
