"""What a daemon is told when it starts: checked once, passed down, never global."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sarathid.errors import ConfigError
from sarathid.protocol.requests import PrefillOrder
from sarathid.protocol.roles import Role
from sarathid.protocol.slo import BudgetChoice, OverloadMode

DEFAULT_MODEL = "smollm2-135m"
AUTO_TARGET = "auto"

_AUTO_FACTOR = 5.0


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The engine process: model, memory, limits and the settings it starts with.

    `dtype` and `quantize` together say what weights are kept in; `"auto"` for both is int8 on a CPU that multiplies it
    in integers. `kv_dtype` is what keys and values are kept in, on a CPU; `"auto"` is float16 beside weights of fewer
    bits, where the processor has instructions for it, and else the format that is computed in. With `cuda_graphs`
    decodes alone run as they were captured at the start; `"auto"` is where that can be. With `async_scheduling` a batch
    is put together while the one before it runs, its decodes before their tokens are known; `"auto"` is on one GPU,
    where the host would else keep the device waiting, unless kernels there have the host wait. `block_size` None is
    what suits the device, `kv_memory_bytes` None what is free, within reason, and `num_threads` None the cores that the
    process may use. `slo_tbt` is seconds (`"0.1"`, `"100ms"`) or a multiple of the isolated decode iteration (`"5x"`);
    `"auto"` is that multiple, and nobody's own target: by default nobody is held back for it. A `token_budget` of
    `"auto"` follows it. With `simulate`, the name of a cost profile, no model runs: the engine takes that profile's
    time and gives meaningless tokens.
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    dtype: str = "auto"
    load_format: Literal["auto", "dummy"] = "auto"
    quantize: Literal["auto", "off", "int8", "int4"] = "auto"
    kv_dtype: Literal["auto", "float32", "float16"] = "auto"
    cuda_graphs: Literal["auto", "on", "off"] = "auto"
    async_scheduling: Literal["auto", "on", "off"] = "auto"
    block_size: Annotated[int, Meta(ge=1, le=256)] | None = None
    kv_memory_bytes: Annotated[int, Meta(ge=1)] | None = None
    max_model_len: Annotated[int, Meta(ge=2)] | None = None  # a token of a prompt and one of an answer
    max_num_seqs: Annotated[int, Meta(ge=1, le=4096)] = 128
    policy: str = "stall-free"
    token_budget: BudgetChoice = "auto"
    min_token_budget: Annotated[int, Meta(ge=1)] = 16
    max_token_budget: Annotated[int, Meta(ge=1, le=1 << 20)] = 8192
    slo_tbt: str | None = AUTO_TARGET
    slo_ttft: str | None = None
    prefill_order: PrefillOrder = PrefillOrder.ARRIVAL
    overload: OverloadMode = OverloadMode.AUTO
    prefix_cache: bool = True
    watermark: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.01
    num_threads: Annotated[int, Meta(ge=1, le=1024)] | None = None
    tensor_parallel: Annotated[int, Meta(ge=1, le=64)] = 1
    pipeline_parallel: Annotated[int, Meta(ge=1, le=64)] = 1
    num_nodes: Annotated[int, Meta(ge=1, le=64)] = 1
    rendezvous: str | None = None
    attention_backend: str = "auto"
    simulate: str | None = None


class Grants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The roles of users and of groups, by their numbers; a user has the highest of all that apply."""

    users: dict[int, Role] = {}
    groups: dict[int, Role] = {}

    def __str__(self) -> str:
        users = [f"{uid}={role}" for uid, role in self.users.items()]
        groups = [f"@{gid}={role}" for gid, role in self.groups.items()]
        return ",".join((*users, *groups)) or "-"


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The daemon's sockets, who may use them, and its patience.

    `socket_group` is the group that may connect beside the daemon's own user. With an `http_port` the API is served on
    the loopback interface too, to who has one of the keys in `http_keys`. The flight recorder keeps `record_s` seconds
    in at most `record_bytes`, nothing where either is 0.
    """

    runtime_dir: Path
    socket_group: Annotated[int, Meta(ge=0, le=2**32 - 2)] | None = None
    roles: Grants = Grants()
    http_port: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    http_keys: Path | None = None
    drain_timeout_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 30.0
    start_timeout_s: Annotated[float, Meta(gt=0.0, le=86_400.0)] = 600.0
    max_queue_len: Annotated[int, Meta(ge=1, le=1 << 20)] = 1024
    max_waiting_tokens: Annotated[int, Meta(ge=1, le=1 << 40)] = 1 << 20
    max_client_requests: Annotated[int, Meta(ge=1, le=1 << 20)] = 512
    max_engine_restarts: Annotated[int, Meta(ge=0, le=1000)] = 5
    record_s: Annotated[float, Meta(ge=0.0, le=86_400.0)] = 3600.0
    record_bytes: Annotated[int, Meta(ge=0, le=1 << 40)] = 64 << 20

    def __post_init__(self) -> None:
        if (self.http_port is None) != (self.http_keys is None):
            raise ValueError("--http-port and --http-keys belong together: there is no port without keys")


class DaemonConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that `sarathid serve` takes, from flags over the environment over a TOML file."""

    engine: EngineConfig
    server: ServerConfig


class DurationUnit(StrEnum):
    MILLISECONDS = "ms"
    SECONDS = "s"
    MINUTES = "m"


_SECONDS_PER_UNIT = {DurationUnit.MILLISECONDS: 1e-3, DurationUnit.SECONDS: 1.0, DurationUnit.MINUTES: 60.0}


def parse_duration_s(text: str) -> float:
    """Return the seconds in `"100ms"`, `"2s"`, `"1.5m"` or a plain number of seconds.

    Raises `ConfigError` when it is none of these, or not a positive, finite time of at most a day.
    """
    digits = text.rstrip("ms")
    suffix = text[len(digits) :] or DurationUnit.SECONDS
    try:
        seconds = float(digits) * _SECONDS_PER_UNIT[DurationUnit(suffix)]
    except ValueError:
        raise ConfigError(f"{text!r} is not a duration; write 100ms, 2s or 5m") from None
    if not 0.0 < seconds <= 86_400.0:
        raise ConfigError(f"{text!r} is not a duration between 0 and a day")
    return seconds


def resolve_target_s(text: str, isolated_decode_s: float) -> float:
    """Return a target in seconds: a duration, or `"5x"`, five times the isolated decode iteration, as `"auto"` is."""
    if text == AUTO_TARGET:
        return _AUTO_FACTOR * isolated_decode_s
    if not text.endswith("x"):
        try:
            return parse_duration_s(text)
        except ConfigError as error:
            raise ConfigError(f"{error}, or a multiple such as 5x") from None
    try:
        factor = float(text[:-1])
    except ValueError:
        raise ConfigError(f"{text!r} is not a target; write 100ms or 5x") from None
    if not 1.0 <= factor <= 1000.0:
        raise ConfigError(f"{text!r} is out of range; a multiple lies between 1x and 1000x")
    return factor * isolated_decode_s


def build(type_: Any, values: dict[str, Any]) -> Any:
    """Return the configuration struct that `values` describe, or raise `ConfigError` naming the field."""
    try:
        return msgspec.convert(values, type_, dec_hook=_decode_hook)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from error


def _decode_hook(type_: type, value: object) -> object:
    if type_ is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"cannot read {value!r} as {type_.__name__}")
