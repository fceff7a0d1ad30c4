"""The daemons that an operator gave names, in `ctl.toml`."""

import json
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from sarathid.errors import ConfigError

MAX_CONTEXTS = 256
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"


class BadgeColor(StrEnum):
    """In what a daemon's name stands out."""

    RED = "red"
    YELLOW = "yellow"
    GREEN = "green"
    BLUE = "blue"
    PURPLE = "purple"


class Theme(StrEnum):
    """The sets of colours."""

    DARK = "dark"
    LIGHT = "light"
    HIGH_CONTRAST = "high-contrast"
    ANSI = "ansi"


class Context(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One daemon: its address as `--addr` takes it, whether nothing may be changed there from here, and its colour."""

    addr: Annotated[str, Meta(min_length=1, max_length=512)]
    read_only: bool = False
    color: BadgeColor | None = None


class ControlFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `ctl.toml` may hold; `current` is the context that is meant where none is named.

    `theme` and `alerts` are how `top` looks and what it tells of where no flag says so.
    """

    current: str | None = None
    theme: Theme | None = None
    alerts: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=16)] = ()
    contexts: Annotated[dict[Annotated[str, Meta(pattern=f"^{_NAME}$")], Context], Meta(max_length=MAX_CONTEXTS)] = {}

    def __post_init__(self) -> None:
        if self.current is not None and self.current not in self.contexts:
            raise ValueError(f"the current context {self.current!r} is none of {sorted(self.contexts)}")

    def context(self, name: str) -> Context:
        """Return a context by its name; raises `ConfigError` with those that there are."""
        if name not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "none; `sarathictl context add NAME ADDR` makes one"
            raise ConfigError(f"there is no context {name!r}; known: {known}")
        return self.contexts[name]

    def with_context(self, name: str, context: Context) -> "ControlFile":
        """Return the file with a context more, or another in its place; raises `ConfigError` for a bad name."""
        if not re.fullmatch(_NAME, name):
            raise ConfigError(f"{name!r} is no name for a context; use letters, digits, dots and dashes")
        return msgspec.structs.replace(self, contexts={**self.contexts, name: context})

    def without(self, name: str) -> "ControlFile":
        """Return the file without a context."""
        self.context(name)
        rest = {other: context for other, context in self.contexts.items() if other != name}
        return msgspec.structs.replace(self, current=None if self.current == name else self.current, contexts=rest)

    def using(self, name: str) -> "ControlFile":
        """Return the file with another current context."""
        self.context(name)
        return msgspec.structs.replace(self, current=name)


def control_file_path() -> Path:
    """Return where the file is: `$SARATHID_CONFIG`, else `sarathid/ctl.toml` in `$XDG_CONFIG_HOME`."""
    if named := os.environ.get("SARATHID_CONFIG"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "sarathid" / "ctl.toml"


def read_control_file(path: Path) -> ControlFile:
    """Return what the file says, nothing where there is none; raises `ConfigError` when it can't be read."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=ControlFile)
    except FileNotFoundError:
        return ControlFile()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # integers and brackets without end among them
        raise ConfigError(f"{path}: {error}") from error


def write_control_file(path: Path, content: ControlFile) -> None:
    """Put the file in the place of the one that is there, whole or not at all."""
    new = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_text(_as_toml(content))
        new.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}") from error


def _as_toml(content: ControlFile) -> str:
    kept = {key: value for key, value in msgspec.to_builtins(content).items() if key != "contexts"}
    lines = [*_fields(kept), ""] if kept else []
    for name, context in sorted(content.contexts.items()):
        lines += [f"[contexts.{_quoted(name)}]", *_fields(msgspec.to_builtins(context)), ""]
    return "\n".join(lines)


def _fields(fields: Mapping[str, str | bool | list[str]]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in fields.items()]


def _quoted(text: str) -> str:
    """Return a basic string of TOML, whose escapes are those of JSON where nothing but ASCII is written."""
    return json.dumps(text)
