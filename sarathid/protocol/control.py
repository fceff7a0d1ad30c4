"""The control socket's operations: one struct an operation, `op` is its tag on the wire.

A request is `{"v": 1, "id": .., "op": .., ..fields}`; the reply `{"v": 1, "id": .., "ok": {..}}` or
`{"v": 1, "id": .., "error": {"code": .., "message": .., "hint": ..}}`.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeAlias

import msgspec
from msgspec import Meta

from sarathid.protocol.changes import Figures
from sarathid.protocol.codec import PROTOCOL_VERSION
from sarathid.protocol.gpus import GPUStatus
from sarathid.protocol.plan import Candidate
from sarathid.protocol.revisions import AuditEntry, Revision
from sarathid.protocol.roles import Role
from sarathid.protocol.slo import BudgetChoice, SLOChange
from sarathid.protocol.stats import (
    EngineInfo,
    EngineSettings,
    Event,
    IterationStats,
    RequestStats,
)

MAX_HISTORY = 4096
MAX_REVISIONS = 256
MAX_AUDIT_ENTRIES = 1024
MAX_PLAN_S = 900.0
MAX_CANDIDATES = 8
MAX_OFFSET = 1 << 40  # file systems refuse to look much farther into a file
MAX_RECORDING_S = 86_400.0


class ErrorCode(StrEnum):
    """The kinds of refusal, each with one exit code of `sarathictl`."""

    MALFORMED = "malformed"
    VERSION = "version"
    UNKNOWN_OP = "unknown-op"
    NOT_FOUND = "not-found"
    NOT_PERMITTED = "not-permitted"
    CONFLICT = "conflict"
    OUT_OF_RANGE = "out-of-range"
    GUARD = "guard"
    UNAVAILABLE = "unavailable"


class ControlRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="op"):
    """What every request carries; `id` is echoed in the reply. `needs` is the least role that may ask it."""

    needs: ClassVar[Role] = Role.ADMIN

    v: int = PROTOCOL_VERSION
    id: int = 0


class GetStatus(ControlRequest, tag="status", frozen=True, kw_only=True):
    """Answered by `Status`."""

    needs: ClassVar[Role] = Role.READ


class ListRequests(ControlRequest, tag="requests", frozen=True, kw_only=True):
    """Answered by `RequestList`."""

    needs: ClassVar[Role] = Role.READ


class ChangeRequest(ControlRequest, frozen=True, kw_only=True):
    """What every change of the settings may say beside the change; answered by `Retuned`.

    It is refused as a conflict unless `if_revision` is the revision that it would follow. With `confirm_s` it is taken
    back after so long unless `Keep` comes; with a `guard` (`"tbt.p99 < 120ms and stalls_per_s < 2"`), as soon as what
    held holds no longer. `predicted` is noted beside what is measured later. A `dry_run` is checked, and not made.
    """

    needs: ClassVar[Role] = Role.OPERATE

    if_revision: Annotated[int, Meta(ge=0)] | None = None
    reason: Annotated[str, Meta(max_length=200)] = ""
    confirm_s: Annotated[float, Meta(gt=0.0, le=86_400.0)] | None = None
    guard: Annotated[str, Meta(max_length=200)] = ""
    predicted: Figures | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if not self.reason.isprintable():
            raise ValueError("a reason is one line of printable text")


class SetBudget(ChangeRequest, tag="set-budget", frozen=True, kw_only=True):
    """Tokens an iteration, decodes and prefill together, or who chooses them."""

    budget: BudgetChoice


class SetPolicy(ChangeRequest, tag="set-policy", frozen=True, kw_only=True):
    """Another scheduling policy, by name."""

    policy: Annotated[str, Meta(max_length=64)]


class SetSLO(ChangeRequest, tag="set-slo", frozen=True, kw_only=True):
    """Other targets."""

    slo: SLOChange


class Undo(ChangeRequest, tag="undo", frozen=True, kw_only=True):
    """Put back what a revision replaced, by default the latest that was asked for and stands.

    That of another user is refused as not permitted, unless `force` says that it is meant.
    """

    revision: Annotated[int, Meta(ge=0)] | None = None
    force: bool = False


class Keep(ControlRequest, tag="keep", frozen=True, kw_only=True):
    """End the probation of a revision, by default the latest that is on probation: it stays; answered by `Kept`."""

    needs: ClassVar[Role] = Role.OPERATE

    revision: Annotated[int, Meta(ge=0)] | None = None


class GetHistory(ControlRequest, tag="history", frozen=True, kw_only=True):
    """The revisions of this daemon from a number on, of the latest `MAX_REVISIONS`; answered by `History`."""

    needs: ClassVar[Role] = Role.READ

    since_revision: Annotated[int, Meta(ge=0)] = 0


class GetAudit(ControlRequest, tag="audit", frozen=True, kw_only=True):
    """The audit log since a moment (wall-clock time), of this daemon and those before it; answered by `AuditTrail`.

    `by` is a user's id or a part of a peer's label.
    """

    needs: ClassVar[Role] = Role.READ

    since_s: float = 0.0
    by: Annotated[str, Meta(max_length=64)] = ""


class ExplainBudget(ControlRequest, tag="why-budget", frozen=True, kw_only=True):
    """Why the budget is what it is; answered by `why.BudgetReasons`."""

    needs: ClassVar[Role] = Role.READ


class ExplainRequest(ControlRequest, tag="why-request", frozen=True, kw_only=True):
    """Why a request waits or stalled; answered by `why.RequestReasons`."""

    needs: ClassVar[Role] = Role.READ

    request_id: int


class Cancel(ControlRequest, tag="cancel", frozen=True, kw_only=True):
    """End one request now; answered by `Cancelled`."""

    needs: ClassVar[Role] = Role.OPERATE

    request_id: int


class Drain(ControlRequest, tag="drain", frozen=True, kw_only=True):
    """Take nothing new, finish what runs, then exit; answered by `Draining` at once."""

    timeout_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] | None = None


class Pause(ControlRequest, tag="pause", frozen=True, kw_only=True):
    """Take nothing new, finish what runs, and stay; answered by `Paused` at once."""


class Resume(ControlRequest, tag="resume", frozen=True, kw_only=True):
    """Take new requests again after a `Pause`; answered by `Resumed`."""


class GetSnapshot(ControlRequest, tag="snapshot", frozen=True, kw_only=True):
    """Everything that a new subscriber missed; answered by `Snapshot`."""

    needs: ClassVar[Role] = Role.READ

    num_iterations: Annotated[int, Meta(ge=0, le=MAX_HISTORY)] = 512


class Plan(ControlRequest, tag="plan", frozen=True, kw_only=True):
    """Replay the last seconds under what was in force and under each of `candidates`; answered by `Planned`."""

    needs: ClassVar[Role] = Role.OPERATE

    last_s: Annotated[float, Meta(gt=0.0, le=MAX_PLAN_S)] = 300.0
    candidates: Annotated[tuple[Candidate, ...], Meta(max_length=MAX_CANDIDATES)] = ()


class GetRecording(ControlRequest, tag="recording", frozen=True, kw_only=True):
    """What the flight recorder holds of the last seconds; answered by `RecordingPart`.

    A part names what the next one is asked for with: `since_s`, `file` and `offset`.
    """

    needs: ClassVar[Role] = Role.READ

    last_s: Annotated[float, Meta(gt=0.0, le=MAX_RECORDING_S)] = 600.0
    since_s: float | None = None
    file: Annotated[int, Meta(ge=0)] | None = None
    offset: Annotated[int, Meta(ge=0, le=MAX_OFFSET)] = 0


ControlOp: TypeAlias = (
    GetStatus
    | ListRequests
    | SetBudget
    | SetPolicy
    | SetSLO
    | Undo
    | Keep
    | GetHistory
    | GetAudit
    | ExplainBudget
    | ExplainRequest
    | Plan
    | Cancel
    | Drain
    | Pause
    | Resume
    | GetSnapshot
    | GetRecording
)


class RequestState(StrEnum):
    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"
    PREEMPTED = "preempted"


class RequestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One request that the daemon holds now; `age_s` since arrival, TBTs as the engine made them.

    `num_cached_tokens` of its prompt were in the prefix cache when it first started. `owner` is the user or the key
    that its client is known by, and `place` where it stands among that owner's, the least first.
    """

    request_id: int
    state: RequestState
    client: str
    age_s: float
    num_prompt_tokens: int
    num_computed_tokens: int
    num_output_tokens: int
    max_tokens: int | None
    ttft_s: float | None
    tbt_last_s: float | None
    tbt_max_s: float | None
    num_stalls: int
    num_preemptions: int
    num_cached_tokens: int = 0
    owner: str = ""
    priority: int = 0
    place: int = 0


class OwnerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What one owner of requests has now, and had of the engine in the last `window_s` seconds.

    `share` is its part of all tokens that were computed then, None where none were. `deficit` is how many tokens it had
    less than the owner that had most, an output token counting twice; it is 0 for who has nothing waiting.
    """

    num_running: int
    num_waiting: int
    window_s: float
    num_tokens: int
    share: float | None
    deficit: int


class RequestList(msgspec.Struct, frozen=True, kw_only=True):
    """The requests, and by the owner's name what each has that has requests."""

    requests: tuple[RequestStatus, ...]
    owners: dict[str, OwnerStatus] = {}


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds over the last `window_s`; None where nothing was observed."""

    window_s: float
    count: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None


class PredictionError(msgspec.Struct, frozen=True, kw_only=True):
    """How far the predicted times of `count` iterations of the last `window_s` seconds were off, as shares of the real.

    None where nothing was predicted.
    """

    window_s: float
    count: int
    p50: float | None
    p95: float | None


class WorkFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How the newest iterations were used, `num_iterations` of them.

    `fill` is the share of their token budgets that ran, None where a policy does not cut prompts to it; `bubble` the
    share of the time with work in which the pipeline stage that idled most did none, None without a pipeline.
    """

    num_iterations: int
    fill: float | None
    bubble: float | None


class DaemonState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    PAUSED = "paused"
    DRAINING = "draining"
    RESTARTING = "restarting"


class RecorderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The flight recorder: whether it records, else why not, and what it holds."""

    is_recording: bool
    message: str = ""
    directory: str = ""
    num_bytes: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon in one reply, to one whose `role` it is. Counters count since the daemon started.

    `num_late` of the TBTs in `tbt` were above the target that was in force when they came.

    `time_s` is the moment of the reply on the daemon's monotonic clock, by which records give their times.
    `gpus` are the devices that NVML shows, of an engine that computes on such.
    """

    version: str
    state: DaemonState
    pid: int
    uptime_s: float
    engine: EngineInfo | None
    settings: EngineSettings | None
    num_running: int
    num_waiting: int
    num_preempted: int
    num_blocks_used: int
    num_blocks_free: int
    num_iterations: int
    num_finished: int
    num_cancelled: int
    num_output_tokens: int
    num_stalls: int
    num_engine_restarts: int
    tbt: Percentiles
    ttft: Percentiles
    prediction_error: PredictionError
    is_overloaded: bool
    time_s: float = 0.0
    role: Role | None = None
    recorder: RecorderStatus | None = None
    num_prefill_tokens: int = 0
    num_cached_tokens: int = 0
    work: WorkFigures | None = None
    num_late: int = 0
    gpus: tuple[GPUStatus, ...] = ()


class Retuned(msgspec.Struct, frozen=True, kw_only=True):
    """The settings before and after; the new ones are in force from `iteration` on, None where nothing was changed."""

    old: EngineSettings
    new: EngineSettings
    iteration: int | None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    revision: int


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Oldest first."""

    revisions: tuple[Revision, ...]


class AuditTrail(msgspec.Struct, frozen=True, kw_only=True):
    """The latest entries that were asked for, oldest first; `num_left_out` older ones did not fit into one answer."""

    entries: tuple[AuditEntry, ...]
    num_left_out: int


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    request_id: int


class Draining(msgspec.Struct, frozen=True, kw_only=True):
    num_in_flight: int
    timeout_s: float


class Paused(msgspec.Struct, frozen=True, kw_only=True):
    num_in_flight: int


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """The state that was behind the pause: ready, or that an engine is started anew."""

    state: DaemonState


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`stream_positions` is the last sequence number published per topic when this was taken."""

    status: Status
    requests: tuple[RequestStatus, ...]
    iterations: tuple[IterationStats, ...]
    events: tuple[Event, ...]
    finished: tuple[RequestStats, ...]
    stream_positions: dict[str, int]


class RecordingPart(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of a recording as they stand in its file; there are more where `file` is not None."""

    frames: bytes
    since_s: float
    file: int | None = None
    offset: int = 0


class ControlFault(msgspec.Struct, frozen=True, kw_only=True):
    code: ErrorCode
    message: str
    hint: str = ""


class ControlReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Exactly one of `ok` and `error` is set; `ok` holds the reply struct of the operation."""

    id: int | None
    v: int = PROTOCOL_VERSION
    ok: Any = None
    error: ControlFault | None = None
