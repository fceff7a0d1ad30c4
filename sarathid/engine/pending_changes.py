"""Changes of the settings that the engine was sent and has not answered."""

import asyncio
from dataclasses import dataclass

from sarathid.errors import ControlRefused
from sarathid.protocol.changes import ChangeNote
from sarathid.protocol.control import ErrorCode
from sarathid.protocol.slo import SLO, BudgetChoice, SLOChange
from sarathid.protocol.stats import EngineSettings
from sarathid.protocol.step import ChangeSettings, SettingsApplied


@dataclass(frozen=True, slots=True)
class SentChange:
    """One of them, and who waits for the answer."""

    change: ChangeSettings
    note: ChangeNote
    answer: asyncio.Future[SettingsApplied]


class PendingChanges:
    """Numbers changes and knows what will be in force when the engine, which takes them in order, has answered all."""

    def __init__(self) -> None:
        self._sent: dict[int, SentChange] = {}
        self._next_change_id = 1

    def make(
        self,
        settings: EngineSettings,
        *,
        budget: BudgetChoice | None,
        policy: str | None,
        slo: SLOChange | None,
        if_revision: int | None,
    ) -> ChangeSettings:
        """Return a change that follows those under way; `settings` are in force before all of them.

        Raises `ControlRefused` when it would not follow `if_revision`.
        """
        newest = settings.revision + len(self._sent)
        if if_revision is not None and if_revision != newest:
            raise ControlRefused(
                ErrorCode.CONFLICT,
                f"the settings are at revision {newest}, not {if_revision}",
                "`sarathictl history` shows who changed what",
            )
        targets = None if slo is None else slo.applied_to(self._newest_slo(settings.slo))
        return ChangeSettings(change_id=self._next_change_id, budget=budget, policy=policy, slo=targets)

    def add(self, change: ChangeSettings, note: ChangeNote) -> asyncio.Future[SettingsApplied]:
        """Take note that a change is sent; return what its answer will come in."""
        answer: asyncio.Future[SettingsApplied] = asyncio.get_running_loop().create_future()
        self._sent[change.change_id] = SentChange(change, note, answer)
        self._next_change_id += 1
        return answer

    def pop(self, change_id: int) -> SentChange:
        """Remove and return the change that the engine has answered."""
        return self._sent.pop(change_id)

    def refuse_all(self) -> None:
        """Tell all who wait that the engine went away before it answered."""
        for sent in self._sent.values():
            if not sent.answer.done():
                sent.answer.set_exception(
                    ControlRefused(ErrorCode.UNAVAILABLE, "the engine restarted meanwhile", "ask again")
                )
        self._sent.clear()

    def _newest_slo(self, in_force: SLO) -> SLO:
        sent = [sent.change.slo for sent in self._sent.values() if sent.change.slo is not None]
        return sent[-1] if sent else in_force
