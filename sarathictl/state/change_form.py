"""One change that an operator may ask for: what is in force, what to fill in, and how the answer is read."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.frontier import budgets_to_try
from sarathictl.state.retuning import budget_in_words, read_budget_choice, read_targets, targets_in_words
from sarathid.errors import ConfigError
from sarathid.protocol.control import ChangeRequest, SetBudget, SetPolicy, SetSLO
from sarathid.protocol.plan import Candidate
from sarathid.protocol.slo import SLO, BudgetChoice
from sarathid.protocol.stats import EngineInfo

POLICIES = ("stall-free", "prefill-first")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeForm:
    """One question to an operator, asked while the settings were at `revision` and the answer would have been `now`.

    `read` returns what an answer asks the daemon for, or raises `ConfigError`; `note` says in words what is to know of
    an answer, `step` returns the answer so many tiles and tokens further, each None where there is none. `budgets` are
    worth being held beside each other, and `guard` is one that somebody may want, by the targets in force.
    """

    title: str
    facts: str
    now: str
    initial: str
    revision: int
    read: Callable[[str], ChangeRequest]
    note: Callable[[str], str] | None = None
    step: Callable[[str, int, int], str] | None = None
    reason: str = ""
    budgets: tuple[BudgetChoice, ...] = ()
    guard: str = "tbt.p99 < 120ms and …"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms a change is made, as an operator writes them; empty where there are none."""

    confirm: str = ""
    guard: str = ""
    reason: str = ""

    def put_on(self, op: ChangeRequest, revision: int) -> ChangeRequest:
        """Return the change on these terms, to follow `revision`; raises `ConfigError` when one can't be read."""
        confirm_s = units.parse_duration_s(self.confirm) if self.confirm.strip() else None
        try:
            return msgspec.structs.replace(
                op, if_revision=revision, confirm_s=confirm_s, guard=self.guard.strip(), reason=self.reason.strip()
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error


def budget_form(view: EngineView, proposed: int | None = None, reason: str = "") -> ChangeForm:
    """Return the form for the token budget, with a proposal and its reason instead of what is in force."""
    assert view.settings is not None
    settings, info = view.settings, view.info
    limits = f", {info.min_token_budget} to {info.max_token_budget} allowed" if info else ""
    return ChangeForm(
        title="TOKEN BUDGET",
        facts=f"now {budget_in_words(settings)} (r{settings.revision}){limits}",
        now=str(settings.budget),
        initial=str(settings.budget if proposed is None else proposed),
        revision=settings.revision,
        read=lambda text: SetBudget(budget=read_budget_choice(text.strip())),
        note=lambda text: budget_note(text, info.tile if info else 1),
        step=lambda text, tiles, tokens: _step_budget(text, settings.token_budget, tiles, tokens, info),
        reason=reason,
        budgets=() if info is None else budgets_to_try(settings, info),
        guard=guard_by(settings.slo),
    )


def policy_form(view: EngineView, reason: str = "") -> ChangeForm:
    """Return the form for the scheduling policy, with another one than now filled in."""
    assert view.settings is not None
    now = view.settings.policy
    return ChangeForm(
        title="POLICY",
        facts=f"now {now} (r{view.settings.revision}), {' or '.join(POLICIES)}",
        now=now,
        initial=next(policy for policy in POLICIES if policy != now),
        revision=view.settings.revision,
        read=lambda text: SetPolicy(policy=text.strip()),
        reason=reason,
        guard=guard_by(view.settings.slo),
    )


def slo_form(view: EngineView) -> ChangeForm:
    """Return the form for the latency targets."""
    assert view.settings is not None
    now = targets_in_words(view.settings.slo)
    return ChangeForm(
        title="LATENCY TARGETS",
        facts=f"now {now} (r{view.settings.revision}); tbt is a P99, ttft a P95; off removes both",
        now=now,
        initial=now,
        revision=view.settings.revision,
        read=lambda text: SetSLO(slo=read_targets(text.split())),
    )


def guard_by(slo: SLO) -> str:
    """Return the guard that takes a change back when a target is missed, an example where there is none."""
    named = (("tbt.p99", slo.tbt_s), ("ttft.p95", slo.ttft_s))
    held = [f"{name} < {units.exact_duration(target_s)}" for name, target_s in named if target_s is not None]
    return " and ".join(held) or "tbt.p99 < 120ms and …"


def candidate_of_change(op: ChangeRequest) -> Candidate:
    """Return the candidate to forecast for a change."""
    match op:
        case SetBudget():
            return Candidate(budget=op.budget)
        case SetPolicy():
            return Candidate(policy=op.policy)
        case SetSLO():
            return Candidate(slo=op.slo)
        case _:
            raise AssertionError(f"nothing forecasts {op}")


def budget_note(text: str, tile: int) -> str:
    """Return how a budget lies to the device's tiles: `"416 costs as much as 512: 4 tiles of 128"`."""
    if not text.strip().isdecimal() or tile == 1:
        return ""
    budget = int(text)
    num_tiles = -(-budget // tile)
    tiles = "1 tile" if num_tiles == 1 else f"{num_tiles} tiles"
    if num_tiles * tile == budget:
        return f"{tiles} of {tile}"
    return f"{budget} costs as much as {num_tiles * tile}: {tiles} of {tile}"


def _step_budget(text: str, current: int, tiles: int, tokens: int, info: EngineInfo | None) -> str:
    """Return the budget `tiles` tile edges and `tokens` tokens further, within what is allowed."""
    budget = int(text) if text.strip().isdecimal() else current
    if info is None:
        return str(max(1, budget + tokens))
    if tiles:
        edge = budget // info.tile if tiles > 0 else -(-budget // info.tile)
        budget = (edge + tiles) * info.tile
    return str(min(max(budget + tokens, info.min_token_budget), info.max_token_budget))


FORMS: dict[str, Callable[[EngineView], ChangeForm]] = {"budget": budget_form, "policy": policy_form, "slo": slo_form}
