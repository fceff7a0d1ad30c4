"""What a recording's requests would have seen under other settings, by `sarathid simulate` in a process of its own."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import UNSET

from sarathid.errors import ConfigError
from sarathid.protocol.plan import Planned
from sarathid.protocol.slo import SLOChange


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """Settings to try, None for what was in force, on a cost profile, None for the one that the recording names."""

    budget: str | None = None
    policy: str | None = None
    slo: SLOChange | None = None
    profile: str | None = None

    @property
    def changes_nothing(self) -> bool:
        """Whether only what happened is replayed."""
        return self.budget is None and self.policy is None and self.slo is None

    def ask(self, tape: Path, record: Path | None = None) -> Planned:
        """Return how well a replay tells what is recorded, and what it would have been; takes seconds to minutes.

        The run goes to `record` as a recording. Raises `ConfigError` when it can't be.
        """
        command = [sys.executable, "-m", "sarathid", "simulate", "--json", "--tape", str(tape), *self._options()]
        if record is not None:
            command += ["--record", str(record)]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if ended.returncode:
            words = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2].removeprefix("sarathid: ")
            raise ConfigError(words or f"the simulation ended with {ended.returncode}")
        return msgspec.json.decode(ended.stdout, type=Planned)

    def _options(self) -> list[str]:
        options = {"--budget": self.budget, "--policy": self.policy, "--profile": self.profile}
        if self.slo is not None:
            options |= {"--slo-tbt": _target(self.slo.tbt_s), "--slo-ttft": _target(self.slo.ttft_s)}
        return [word for name, value in options.items() if value is not None for word in (name, value)]


def _target(target_s: float | msgspec.UnsetType | None) -> str | None:
    if target_s is UNSET:
        return None
    return "off" if target_s is None else f"{target_s}s"
