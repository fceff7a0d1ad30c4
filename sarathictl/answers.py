"""The shape of what every command prints with `--json`, as types; `sarathictl schema` prints them as JSON Schema.

Within one `schema_version` fields are added, and none is renamed, removed or given another meaning. What ends in `_s`
is in seconds: moments named `at_s`, and those of revisions, since the epoch, others on the daemon's monotonic clock.
"""

from typing import Any, TypeAlias

import msgspec

from sarathictl.bench.capacity import CapacitySummary
from sarathictl.bench.run_files import Summary
from sarathictl.client.contexts import ControlFile
from sarathictl.output import SCHEMA_VERSION
from sarathictl.selftest.check import Check
from sarathictl.state.clients import ClientFigures
from sarathictl.state.engine_view import LatencyFigures
from sarathictl.state.window import IterationSample
from sarathid.histogram import LatencyHistogram
from sarathid.protocol.control import AuditTrail, Draining, History, Kept, Paused, RequestList, Resumed, Retuned, Status
from sarathid.protocol.gpus import GPUStatus
from sarathid.protocol.plan import Planned
from sarathid.protocol.revisions import Revision
from sarathid.protocol.stats import (
    EngineInfo,
    EngineSettings,
    IterationScheduled,
    SettingsChanged,
    StallEvent,
    StreamRecord,
)
from sarathid.protocol.why import BudgetReasons, RequestReasons
from sarathid.tape.key_frame import RequestRow

Bucket: TypeAlias = tuple[float, int]
"""The upper edge of a bucket in seconds, and how many samples lie in it."""


class Told(msgspec.Struct, kw_only=True):
    """Something that happened: when, of which kind, in words, and the record that tells of it."""

    at_s: float
    kind: str
    words: str
    record: StreamRecord


class Stalls(msgspec.Struct, kw_only=True):
    """`stalls`; with `--follow` each is an answer of its own."""

    stalls: list[Told]


class Events(msgspec.Struct, kw_only=True):
    """`events`; with `--follow` each is an answer of its own."""

    events: list[Told]


class Latency(msgspec.Struct, kw_only=True):
    """The times of one kind over one span, and the share of them that met the target."""

    name: str
    span_s: float
    target_s: float | None
    in_time: float | None
    count: int
    p50_s: float | None
    p90_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float | None
    buckets: list[Bucket]


class Latencies(msgspec.Struct, kw_only=True):
    """`latency`, by span."""

    latencies: list[Latency]


class ClientLatencies(msgspec.Struct, kw_only=True):
    """`latency --by client`."""

    clients: list[ClientFigures]


class KVCache(msgspec.Struct, kw_only=True):
    """`kv`: blocks, the share of them that fills in a second, and in how many seconds all are used."""

    num_blocks_used: int
    num_blocks_free: int
    num_watermark_blocks: int | None
    block_size: int | None
    growth_per_s: float | None
    full_in_s: float | None
    num_preempted: int


class StageUse(msgspec.Struct, kw_only=True):
    """What a pipeline stage did: seconds an iteration, and the share of them that it idled although there was work."""

    busy_s: float
    bubble_s: float
    bubble_share: float


class Stages(msgspec.Struct, kw_only=True):
    """`stages`: of the newest iterations."""

    num_iterations: int
    stages: list[StageUse]


class FleetMember(msgspec.Struct, kw_only=True):
    """A daemon by its name in ctl.toml; `failure` says why it did not answer."""

    name: str
    status: Status | None
    failure: str


class Fleet(msgspec.Struct, kw_only=True):
    """`fleet`."""

    daemons: list[FleetMember]


class Finding(msgspec.Struct, kw_only=True):
    """What one check saw, and what to do about it where something is wrong."""

    name: str
    words: str
    hint: str
    is_good: bool


class Findings(msgspec.Struct, kw_only=True):
    """`doctor`."""

    findings: list[Finding]


class Preview(Retuned, frozen=True, kw_only=True):
    """A change with `--dry-run`: what would be in force, and what would have come of it, None where that is unknown."""

    plan: Planned | None


class Cancelled(msgspec.Struct, kw_only=True):
    """`cancel`: the ids of the requests that were ended."""

    cancelled: list[int]


class WouldCancel(msgspec.Struct, kw_only=True):
    """`cancel --dry-run`."""

    would_cancel: list[int]


class RecordedFile(msgspec.Struct, kw_only=True):
    """`record`."""

    file: str
    start_s: float
    span_s: float
    num_bytes: int


class SupportBundle(msgspec.Struct, kw_only=True):
    """`support-bundle`: what is in it, and why what is missing is."""

    file: str
    num_bytes: int
    contents: list[str]
    missing: dict[str, str]


class Reply(msgspec.Struct, kw_only=True):
    """`generate`, and `chat` at its end: an answer as its client saw it."""

    text: str
    finish_reason: str | None
    num_output_tokens: int
    ttft_s: float | None
    gap_p50_s: float | None
    gap_p99_s: float | None
    gap_max_s: float | None


class SelfTest(msgspec.Struct, kw_only=True):
    """`selftest`."""

    seed: int
    is_right: bool
    checks: list[Check]


class ConfigValue(msgspec.Struct, kw_only=True):
    value: str
    origin: str


class Config(msgspec.Struct, kw_only=True):
    """`config view`."""

    config: dict[str, ConfigValue]


class ConfigPath(msgspec.Struct, kw_only=True):
    """`config path`."""

    path: str
    exists: bool


class DescribedStall(StallEvent, frozen=True, kw_only=True, tag="stall"):
    """A stall with its sentence."""

    sentence: str


class Picture(msgspec.Struct, kw_only=True):
    """`top --once`: what its screens show at `now_s`, the newest iterations as samples."""

    now_s: float
    daemon_state: str
    message: str
    info: EngineInfo | None
    settings: EngineSettings | None
    running: IterationScheduled | None
    samples: list[IterationSample]
    stalls: list[DescribedStall]
    changes: list[SettingsChanged]
    requests: list[RequestRow]
    num_running: int
    num_waiting: int
    num_preempted: int
    num_blocks_used: int
    num_blocks_free: int
    tbt: list[LatencyFigures]
    ttft: LatencyFigures
    num_recent_stalls: int
    attainment: float | None
    attainments: list[float | None]
    output_rate: float
    goodput: float
    kv_growth: float | None
    gpus: list[GPUStatus]


class Fault(msgspec.Struct, kw_only=True):
    """Why there is no answer: the exit code, its kind, in words, and what to do."""

    code: int
    kind: str
    message: str
    hint: str


class Failure(msgspec.Struct, kw_only=True):
    """What any command prints instead when it fails."""

    error: Fault


class ExportedLine(msgspec.Struct, kw_only=True):
    """A line of `export jsonl`: a record, whose own times are monotonic, and when it was over."""

    at_s: float
    record: StreamRecord


_CHANGE = (Retuned, Preview, Revision)

ANSWERS: dict[str, tuple[Any, ...]] = {
    "top": (Picture,),
    "status": (Status,),
    "get": (EngineSettings,),
    "requests": (RequestList,),
    "stalls": (Stalls, Told),
    "events": (Events, Told),
    "latency": (Latencies, ClientLatencies),
    "kv": (KVCache,),
    "stages": (Stages,),
    "fleet": (Fleet,),
    "doctor": (Findings,),
    "why": (BudgetReasons, RequestReasons),
    "set-budget": _CHANGE,
    "set-policy": _CHANGE,
    "set-slo": _CHANGE,
    "undo": _CHANGE,
    "keep": (Kept,),
    "plan": (Planned,),
    "history": (History,),
    "audit": (AuditTrail,),
    "record": (RecordedFile,),
    "replay": (Planned,),
    "export": (ExportedLine,),
    "support-bundle": (SupportBundle,),
    "cancel": (Cancelled, WouldCancel),
    "drain": (Draining,),
    "pause": (Paused,),
    "resume": (Resumed,),
    "generate": (Reply,),
    "chat": (Reply,),
    "bench": (CapacitySummary, Summary),
    "selftest": (SelfTest,),
    "context": (ControlFile,),
    "config": (Config, ConfigPath),
}
"""The answers that each command may give, several where its options decide which."""


def json_schema(command: str | None = None) -> dict[str, Any]:
    """Return the JSON Schema of a command's answers, by default of all, as one document."""
    named = ANSWERS if command is None else {command: ANSWERS[command]}
    types = [*dict.fromkeys(type_ for types in named.values() for type_ in types), Failure]
    schemas, definitions = msgspec.json.schema_components(types, schema_hook=_schema_of, ref_template="#/$defs/{name}")
    reference = dict(zip(types, schemas, strict=True))
    version = {"properties": {"schema_version": {"const": SCHEMA_VERSION}}, "required": ["schema_version"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "commands": {
            name: {"allOf": [version, {"anyOf": [reference[type_] for type_ in (*types_, Failure)]}]}
            for name, types_ in named.items()
        },
        "$defs": definitions,
    }


def _schema_of(type_: type) -> dict[str, Any]:
    """Return the schema of what JSON holds in the place of a distribution."""
    if type_ is not LatencyHistogram:
        raise NotImplementedError(type_)
    bucket = {"type": "array", "prefixItems": [{"type": "number"}, {"type": "integer"}]}
    return {"type": "array", "items": bucket}
