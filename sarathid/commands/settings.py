"""The settings of `sarathid serve` and where each one comes from: flag, environment, file, default."""

import math
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sarathid import paths
from sarathid.commands.principals import read_grants, read_group
from sarathid.config import (
    AUTO_TARGET,
    DaemonConfig,
    EngineConfig,
    ServerConfig,
    build,
    parse_duration_s,
    resolve_target_s,
)
from sarathid.errors import ConfigError
from sarathid.protocol.requests import PrefillOrder
from sarathid.protocol.slo import OverloadMode, read_budget

DEFAULT = "default"
KEPT = "kept"
MAX_FILE_BYTES = 1 << 16
_BYTES_PER_UNIT = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `name` is `--name`, `SARATHID_NAME` and the file's `name`; `read` takes its text."""

    section: Literal["engine", "server"]
    name: str
    field: str
    read: Callable[[str], Any]

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "SARATHID_" + self.name.upper()


@dataclass(frozen=True, slots=True)
class Effective:
    """A setting's value in force, and the name of what set it."""

    setting: Setting
    value: Any
    source: str


def read_size_bytes(text: str) -> int:
    """Return the bytes in `"512MiB"`, `"1.5GiB"` or a plain number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]iB|)", text)
    if match is None:
        raise ValueError("write 512MiB or 2GiB")
    return math.floor(float(match[1]) * _BYTES_PER_UNIT[match[2]])


def read_count(text: str) -> int:
    """Return a whole number."""
    if not re.fullmatch(r"-?\d+", text):
        raise ValueError("write a whole number")
    return int(text)


def read_share(text: str) -> float:
    """Return a share of a whole, 0.01 say."""
    if not re.fullmatch(r"\d*\.?\d+", text):
        raise ValueError("write a share such as 0.01")
    return float(text)


def one_of(*names: str) -> Callable[[str], str]:
    """Return a reader of one of these names."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"write one of {', '.join(names)}")
        return text

    return read


def read_patience_s(text: str) -> float:
    """Return the seconds of a time that may be 0."""
    return 0.0 if text == "0" else parse_duration_s(text)


def read_target(text: str) -> str | None:
    """Return a target as it is written, once it is known to be one; None for `off`."""
    if text == "off":
        return None
    resolve_target_s(text, isolated_decode_s=1.0)
    return text


def read_tbt_target(text: str) -> str | None:
    """Return a target for the time between tokens, which may be `auto` too."""
    return AUTO_TARGET if text == AUTO_TARGET else read_target(text)


def read_switch(text: str) -> bool:
    """Return whether something is switched on."""
    return one_of("on", "off", "true", "false")(text.lower()) in ("on", "true")


SETTINGS = (
    Setting("engine", "model", "model", str),
    Setting("engine", "simulate", "simulate", str),
    Setting("engine", "device", "device", str),
    Setting("engine", "dtype", "dtype", str),
    Setting("engine", "load_format", "load_format", one_of("auto", "dummy")),
    Setting("engine", "quantize", "quantize", one_of("auto", "off", "int8", "int4")),
    Setting("engine", "kv_dtype", "kv_dtype", one_of("auto", "float32", "float16")),
    Setting("engine", "cuda_graphs", "cuda_graphs", one_of("auto", "on", "off")),
    Setting("engine", "async_scheduling", "async_scheduling", one_of("auto", "on", "off")),
    Setting("engine", "attention_backend", "attention_backend", str),
    Setting("engine", "tp", "tensor_parallel", read_count),
    Setting("engine", "pp", "pipeline_parallel", read_count),
    Setting("engine", "nnodes", "num_nodes", read_count),
    Setting("engine", "rendezvous", "rendezvous", str),
    Setting("engine", "threads", "num_threads", read_count),
    Setting("engine", "kv_memory", "kv_memory_bytes", read_size_bytes),
    Setting("engine", "block_size", "block_size", read_count),
    Setting("engine", "watermark", "watermark", read_share),
    Setting("engine", "overload", "overload", one_of(*OverloadMode)),
    Setting("engine", "prefix_cache", "prefix_cache", read_switch),
    Setting("engine", "prefill_order", "prefill_order", one_of(*PrefillOrder)),
    Setting("engine", "max_model_len", "max_model_len", read_count),
    Setting("engine", "max_num_seqs", "max_num_seqs", read_count),
    Setting("engine", "policy", "policy", str),
    Setting("engine", "token_budget", "token_budget", read_budget),
    Setting("engine", "min_budget", "min_token_budget", read_count),
    Setting("engine", "max_budget", "max_token_budget", read_count),
    Setting("engine", "slo_tbt", "slo_tbt", read_tbt_target),
    Setting("engine", "slo_ttft", "slo_ttft", read_target),
    Setting("server", "runtime_dir", "runtime_dir", str),
    Setting("server", "socket_group", "socket_group", read_group),
    Setting("server", "roles", "roles", read_grants),
    Setting("server", "http_port", "http_port", read_count),
    Setting("server", "http_keys", "http_keys", str),
    Setting("server", "max_queue_len", "max_queue_len", read_count),
    Setting("server", "max_waiting_tokens", "max_waiting_tokens", read_count),
    Setting("server", "max_client_requests", "max_client_requests", read_count),
    Setting("server", "drain_timeout", "drain_timeout_s", read_patience_s),
    Setting("server", "start_timeout", "start_timeout_s", read_patience_s),
    Setting("server", "max_engine_restarts", "max_engine_restarts", read_count),
    Setting("server", "record", "record_s", read_patience_s),
    Setting("server", "record_size", "record_bytes", read_size_bytes),
)


def resolve(flags: Mapping[str, str | None], environment: Mapping[str, str], file: Path | None) -> list[Effective]:
    """Return every setting with its value: of the flag, else the environment, else the file, else the default.

    `file` None is `$XDG_CONFIG_HOME/sarathid/sarathid.toml`, which may be missing. Raises
    `ConfigError` naming the source of what can't be read.
    """
    in_file = dict(_file_texts(file))
    return [_effective(setting, flags, environment, in_file) for setting in SETTINGS]


def with_kept(settings: list[Effective], kept: Mapping[str, str]) -> list[Effective]:
    """Return the settings with those that an earlier daemon left in place of defaults.

    Raises `ConfigError` when one of them can't be read.
    """
    return [
        Effective(effective.setting, _read(effective.setting, KEPT, kept[effective.setting.name]), KEPT)
        if effective.source == DEFAULT and effective.setting.name in kept
        else effective
        for effective in settings
    ]


def to_config(settings: list[Effective]) -> DaemonConfig:
    """Return the configuration that the settings make; raises `ConfigError` for a value out of range."""
    sections: dict[str, dict[str, Any]] = {"engine": {}, "server": {}}
    for effective in settings:
        sections[effective.setting.section][effective.setting.field] = effective.value
    config: DaemonConfig = build(DaemonConfig, sections)
    return config


def _effective(
    setting: Setting, flags: Mapping[str, str | None], environment: Mapping[str, str], in_file: Mapping[str, str]
) -> Effective:
    candidates = (
        (setting.flag, flags.get(setting.name)),
        (setting.variable, environment.get(setting.variable)),
        ("sarathid.toml", in_file.get(setting.name)),
    )
    for source, text in candidates:
        if text is not None:
            return Effective(setting, _read(setting, source, text), source)
    return Effective(setting, _default(setting), DEFAULT)


def _read(setting: Setting, source: str, text: str) -> Any:
    try:
        return setting.read(text)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{source}: {text!r} is not understood; {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def _default(setting: Setting) -> Any:
    if setting.name == "runtime_dir":
        return str(paths.runtime_dir())
    type_ = EngineConfig if setting.section == "engine" else ServerConfig
    names = type_.__struct_fields__
    return type_.__struct_defaults__[names.index(setting.field) - len(names)]


def _file_texts(file: Path | None) -> Iterator[tuple[str, str]]:
    """Yield each setting's name and text from the file's `[engine]` and `[server]` tables."""
    path = file or paths.daemon_config_path()
    try:
        yield from _texts(tomllib.loads(_content(path)))
    except FileNotFoundError as error:
        if file is not None:
            raise ConfigError(f"{path}: {error.strerror}") from error
    except RecursionError:
        raise ConfigError(f"{path}: its brackets are too deep in each other") from None
    except (OSError, ValueError) as error:  # what is no TOML or no UTF-8, and integers that Python does not convert
        raise ConfigError(f"{path}: {error}") from error


def _texts(tables: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    known = {(setting.section, setting.name) for setting in SETTINGS}
    for section, values in tables.items():
        if not isinstance(values, dict):
            raise ValueError(f"{section!r} belongs into the table [engine] or [server]")
        for name, value in values.items():
            if (section, name) not in known:
                raise ValueError(f"there is no setting {name!r} in [{section}]")
            yield name, str(value)


def _content(path: Path) -> str:
    """Return what is in a file, without waiting for anybody to write it; raises `OSError` or `ValueError`."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            raise ValueError("a pipe can't be read again; name a file")
        content = file.read(MAX_FILE_BYTES + 1) or b""  # a terminal has nothing yet
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES >> 10} KiB")
    return content.decode("utf-8")
