"""What a run leaves behind: a row a token, a line a record, and the figures with the facts they depend on."""

import csv
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from sarathictl.bench.load import InterferencePlan
from sarathictl.bench.measurement import Measurement, Phase
from sarathictl.bench.trace import RequestTrace
from sarathid.protocol.stats import EngineInfo
from sarathid.version import __version__

TOKEN_COLUMNS = ("phase", "setting", "request", "token", "time_s", "gap_s", "is_measured")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """Where and when a run was made; `load_average` is the one of the last minute, at its start."""

    started_at: str
    cpu: str
    num_cores: int
    load_average: float
    system: str
    python: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All that is needed to read a run's figures, and to repeat it.

    `num_records_lost` counts records of the stats stream that did not arrive: with any lost, the
    engine's token rates are too low.
    """

    machine: MachineFacts
    engine: EngineInfo
    target_s: float | None
    plan: InterferencePlan
    measurements: tuple[Measurement, ...]
    num_records_lost: int


class RunFiles:
    """A new directory that fills up as the run goes on, so that a run cut short leaves what it had."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        with self._tokens.open("w", newline="") as file:
            csv.writer(file).writerow(TOKEN_COLUMNS)
        self._iterations.touch()

    def add_phase(self, index: int, phase: Phase) -> None:
        """Append the tokens and the iterations of one phase."""
        with self._tokens.open("a", newline="") as file:
            csv.writer(file).writerows(_token_rows(index, phase))
        with self._iterations.open("ab") as file:
            file.writelines(msgspec.json.encode(iteration) + b"\n" for iteration in phase.iterations)

    def write_summary(self, summary: Summary) -> None:
        """Write the figures, with the facts they depend on."""
        encoded = msgspec.json.format(msgspec.json.encode(summary), indent=2)
        (self.directory / "summary.json").write_bytes(encoded + b"\n")

    @property
    def _tokens(self) -> Path:
        return self.directory / "tokens.csv"

    @property
    def _iterations(self) -> Path:
        return self.directory / "iterations.jsonl"


def machine_facts() -> MachineFacts:
    """Return what this machine is, now."""
    return MachineFacts(
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu=_cpu_name(),
        num_cores=len(os.sched_getaffinity(0)),
        load_average=round(os.getloadavg()[0], 2),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        version=__version__,
    )


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _token_rows(index: int, phase: Phase) -> Iterator[tuple[object, ...]]:
    for request in phase.load.requests:
        for token, time_s, gap_s in _tokens_of(request):
            is_measured = phase.load.start_s < time_s <= phase.load.end_s
            times = (f"{time_s:.6f}", f"{gap_s:.6f}")
            yield index, phase.setting.label, request.name, token, *times, int(is_measured)


def _tokens_of(request: RequestTrace) -> Iterator[tuple[int, float, float]]:
    """Yield number, time and gap of each token; the gap of token 0 is from sending, its TTFT."""
    before_s = request.sent_s
    for token, time_s in enumerate(request.token_times_s):
        yield token, time_s, time_s - before_s
        before_s = time_s
