"""What passes between the daemon and its engine process."""

from typing import TypeAlias

import msgspec

from sarathid.protocol.logprobs import PromptLogprobs, TokenLogprobs
from sarathid.protocol.requests import FinishReason, Request
from sarathid.protocol.slo import SLO, BudgetChoice
from sarathid.protocol.stats import (
    EngineInfo,
    EngineSettings,
    IterationScheduled,
    IterationStats,
    Overload,
    RequestStats,
)


class TokenDelta(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request's news of one iteration: a token, an end, or both."""

    request_id: int
    token_id: int | None
    finish_reason: FinishReason | None = None
    logprobs: TokenLogprobs | None = None


class LearnedCost(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an iteration took by itself, as its engine learned it; `chunks` are (tokens, first position)."""

    num_decodes: int
    decode_context: int
    chunks: tuple[tuple[int, int], ...]
    seconds: float


class NewTokens(msgspec.Struct, frozen=True, kw_only=True, tag="tokens"):
    """What an iteration made at `made_s` for requests that go on, told ahead of its record, which takes longer."""

    deltas: tuple[TokenDelta, ...]
    made_s: float
    prompt_logprobs: tuple[PromptLogprobs, ...] = ()


class StepOutput(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """All that one iteration gave, but for what was told before.

    `stats` is None where requests ended without an iteration (a cancelled one, say). `deficits` are the tokens that
    each owner which waits had less than the one that had most, empty while only one has requests.
    """

    deltas: tuple[TokenDelta, ...]
    stats: IterationStats | None = None
    overload: Overload | None = None
    finished: tuple[RequestStats, ...] = ()
    prompt_logprobs: tuple[PromptLogprobs, ...] = ()
    learned: LearnedCost | None = None
    deficits: dict[str, int] = {}


class AddRequest(msgspec.Struct, frozen=True, tag="add"):
    """Take in a request."""

    request: Request


class CancelRequest(msgspec.Struct, frozen=True, tag="cancel"):
    """Drop a request; `reason` is what its last delta will say. Unknown ids are ignored and counted."""

    request_id: int
    reason: FinishReason = FinishReason.CANCELLED


class ChangeSettings(msgspec.Struct, frozen=True, kw_only=True, tag="change-settings"):
    """Retune from the next iteration on; None leaves a setting as it is."""

    change_id: int
    budget: BudgetChoice | None = None
    policy: str | None = None
    slo: SLO | None = None


class Resume(msgspec.Struct, frozen=True, kw_only=True, tag="resume"):
    """Go on where an engine that is gone stopped, with what it learned lately; sent before any request."""

    first_iteration: int
    settings: EngineSettings
    learned: tuple[LearnedCost, ...] = ()


class Shutdown(msgspec.Struct, frozen=True, tag="shutdown"):
    """End the engine process now."""


class SettingsApplied(msgspec.Struct, frozen=True, kw_only=True, tag="settings-applied"):
    """The answer to `ChangeSettings`: in force from iteration `iteration` on."""

    change_id: int
    iteration: int
    old: EngineSettings
    new: EngineSettings


class EngineReady(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The model is loaded, warmed up, and may be given work."""

    info: EngineInfo
    settings: EngineSettings


class EngineBeat(msgspec.Struct, frozen=True, tag="beat"):
    """Sent every second in which there is nothing to do."""


class EngineWaits(msgspec.Struct, frozen=True, tag="waits"):
    """Whom the engine waits for, longer than usual; that it says so is no sign that they live."""

    awaited: str


class EngineFault(msgspec.Struct, frozen=True, kw_only=True, tag="fault"):
    """The engine ends because of this; `exit_code` as in `sarathid.errors`."""

    message: str
    exit_code: int


EngineCommand: TypeAlias = AddRequest | CancelRequest | ChangeSettings | Resume | Shutdown
EngineMessage: TypeAlias = (
    EngineReady | EngineBeat | IterationScheduled | NewTokens | StepOutput | SettingsApplied | EngineWaits | EngineFault
)
