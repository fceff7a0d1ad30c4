"""The latency objective that an operator states, and how the token budget follows it."""

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType


class SLO(msgspec.Struct, frozen=True, kw_only=True):
    """Targets in seconds; None where there is no target.

    `tbt_s` bounds the P99 of the time between two tokens of one request, `ttft_s` the P95 of the
    time from arrival to first token. A TBT above `tbt_s` is a stall.
    """

    tbt_s: float | None = None
    ttft_s: float | None = None


class SLOChange(msgspec.Struct, frozen=True, kw_only=True):
    """Other targets, as in `SLO`; one that is not set stays as it is."""

    tbt_s: float | UnsetType | None = UNSET
    ttft_s: float | UnsetType | None = UNSET

    def applied_to(self, slo: SLO) -> SLO:
        """Return the targets with these changes."""
        return SLO(
            tbt_s=slo.tbt_s if self.tbt_s is UNSET else self.tbt_s,
            ttft_s=slo.ttft_s if self.ttft_s is UNSET else self.ttft_s,
        )


class BudgetMode(StrEnum):
    """Who sets the token budget: the operator, the cost profile once, or each iteration's predicted time."""

    FIXED = "fixed"
    PROFILED = "profiled"
    ADAPTIVE = "adaptive"


class OverloadMode(StrEnum):
    """What happens to new requests while the decodes alone take the target's time: nothing, they wait, or go away.

    `AUTO` has them wait for a target that somebody set, and not for the one that an engine has by default;
    `EngineSettings.overload` tells which of both it is.
    """

    ADMIT = "admit"
    HOLD = "hold"
    SHED = "shed"
    AUTO = "auto"


BudgetChoice: TypeAlias = Annotated[int, Meta(ge=1)] | Literal["auto", "profiled"]
"""A token budget as it is asked for: a number pins it, `auto` is adaptive."""


def read_budget(text: str) -> BudgetChoice:
    """Return the budget that `"512"`, `"auto"` or `"profiled"` asks for; raises `ValueError` for anything else."""
    if text == "auto":
        return "auto"
    if text == "profiled":
        return "profiled"
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise ValueError("write a number of tokens from 1 on, auto or profiled")
    return int(text)


def mode_of(choice: BudgetChoice) -> BudgetMode:
    """Return the mode that a choice stands for."""
    if isinstance(choice, int):
        return BudgetMode.FIXED
    return BudgetMode.ADAPTIVE if choice == "auto" else BudgetMode.PROFILED
