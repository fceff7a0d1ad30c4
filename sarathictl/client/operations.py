"""What a daemon can be asked and told over its control socket, each by its name."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypedDict, TypeVar, Unpack

import msgspec

from sarathid.errors import ConfigError
from sarathid.protocol.control import (
    Cancel,
    Cancelled,
    ChangeRequest,
    ControlRequest,
    Drain,
    Draining,
    GetHistory,
    GetSnapshot,
    GetStatus,
    History,
    Keep,
    Kept,
    ListRequests,
    Pause,
    Paused,
    RequestList,
    Resume,
    Resumed,
    Retuned,
    SetBudget,
    SetPolicy,
    SetSLO,
    Snapshot,
    Status,
    Undo,
)
from sarathid.protocol.revisions import Revision
from sarathid.protocol.slo import BudgetChoice, SLOChange

Reply = TypeVar("Reply")


class ChangeTerms(TypedDict, total=False):
    """On what terms settings are changed, as `ChangeRequest` says: its fields, all of them optional."""

    if_revision: int | None
    reason: str
    confirm_s: float | None
    guard: str
    dry_run: bool


class Operations(ABC):
    """Every method asks one thing with `request`, and raises what that raises."""

    @abstractmethod
    def request(self, op: ControlRequest, reply_type: type[Reply]) -> Reply:
        """Return the daemon's answer to any operation of `sarathid.protocol.control`."""

    def status(self) -> Status:
        """Return how the daemon is now: its state, engine, settings, counters and latencies."""
        return self.request(GetStatus(), Status)

    def snapshot(self, num_iterations: int = 512) -> Snapshot:
        """Return the status with the latest iterations, requests that ended and events, 4096 iterations at most."""
        return self.request(GetSnapshot(num_iterations=num_iterations), Snapshot)

    def requests(self) -> RequestList:
        """Return the requests that have not ended, oldest first, and what their owners have."""
        return self.request(ListRequests(), RequestList)

    def history(self, since_revision: int = 0) -> Sequence[Revision]:
        """Return the revisions of the settings from a number on: who, when, why, and what became of each."""
        return self.request(GetHistory(since_revision=since_revision), History).revisions

    def set_budget(self, budget: BudgetChoice, **terms: Unpack[ChangeTerms]) -> Retuned:
        """Set the tokens of an iteration, or who chooses them: `"auto"` follows the target, `"profiled"` the profile.

        Raises `ControlRefused`, its code `conflict`, where the settings are not at `if_revision`; `out-of-range` where
        the engine can't have it.
        """
        return self._change(SetBudget(budget=budget), terms)

    def set_policy(self, policy: str, **terms: Unpack[ChangeTerms]) -> Retuned:
        """Set the scheduling policy, by name."""
        return self._change(SetPolicy(policy=policy), terms)

    def set_slo(self, slo: SLOChange, **terms: Unpack[ChangeTerms]) -> Retuned:
        """Set the targets that `slo` names, in seconds; None is no target."""
        return self._change(SetSLO(slo=slo), terms)

    def undo(self, revision: int | None = None, *, force: bool = False, **terms: Unpack[ChangeTerms]) -> Retuned:
        """Put back what a revision replaced, by default the latest that stands; another user's only with `force`."""
        return self._change(Undo(revision=revision, force=force), terms)

    def keep(self, revision: int | None = None) -> Kept:
        """Let a change that was made with `confirm_s` or a `guard` stay, by default the latest."""
        return self.request(Keep(revision=revision), Kept)

    def cancel(self, request_id: int) -> Cancelled:
        """End one request now; raises `ControlRefused`, its code `not-found`, where there is none."""
        return self.request(Cancel(request_id=request_id), Cancelled)

    def drain(self, timeout_s: float | None = None) -> Draining:
        """Have the daemon take nothing new and end when all that runs has ended, `timeout_s` later at most."""
        return self.request(Drain(timeout_s=timeout_s), Draining)

    def pause(self) -> Paused:
        """Have the daemon take nothing new, finish what runs, and stay until `resume`."""
        return self.request(Pause(), Paused)

    def resume(self) -> Resumed:
        """Have a paused daemon take requests again."""
        return self.request(Resume(), Resumed)

    def _change(self, op: ChangeRequest, terms: ChangeTerms) -> Retuned:
        try:
            asked = msgspec.structs.replace(op, **terms)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        return self.request(asked, Retuned)
