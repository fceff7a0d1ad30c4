"""An archive for whoever is asked for help: what was recorded and what is in force; no text, no name and no key."""

import io
import json
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sarathictl.export.told import Names
from sarathid.tape.segment import OpenSegment
from sarathid.tape.tape import Tape

REMOVED = "(removed)"

# Settings of the daemon that are words and give nobody away.
_HARMLESS = frozenset(
    {"device", "dtype", "load_format", "quantize", "attention_backend", "overload", "prefill_order", "policy"}
    | {"token_budget", "slo_tbt", "slo_ttft", "kv_memory", "simulate", "drain_timeout", "start_timeout"}
    | {"record", "record_size"}
)
_WHO = frozenset({"client", "owner", "by", "changed_by"})
_BY_NAME = frozenset({"owners", "deficits"})  # tables in which names are keys
_UNSAID = frozenset({"reason", "directory"})


class Bundle:
    """Files in a gzipped tar; a context manager. Everything that goes in has its names and reasons taken out."""

    def __init__(self, path: Path, names: Names) -> None:
        """Begin a new file; raises `OSError` when it exists or can't be made."""
        self._tar = tarfile.open(path, "x:gz")  # noqa: SIM115 (closed as a context manager)
        self._folder = path.name.split(".")[0]
        self._names = names
        self.contents: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tar.close()

    def add_json(self, name: str, fields: Any) -> None:
        """Add a file of JSON."""
        self.add_text(name, json.dumps(nameless(fields, self._names), indent=1, default=str) + "\n")

    def add_text(self, name: str, text: str) -> None:
        """Add a file of text that has nothing to hide."""
        data = text.encode()
        self._tar.addfile(self._entry(name, len(data)), io.BytesIO(data))

    def add_tape(self, name: str, tape: Tape) -> None:
        """Add a recording, segment by segment."""
        with tempfile.TemporaryFile() as file:
            file.write(tape.header.frame(tape.start_s).to_bytes())
            for segment in map(self._names.hidden, tape.segments()):
                packed = OpenSegment(segment.key)
                for record in segment.records:
                    packed.add(record)
                file.write(packed.seal().to_bytes())
            entry = self._entry(name, file.tell())
            file.seek(0)
            self._tar.addfile(entry, file)

    def _entry(self, name: str, num_bytes: int) -> tarfile.TarInfo:
        self.contents.append(name)
        entry = tarfile.TarInfo(f"{self._folder}/{name}")
        entry.size = num_bytes
        entry.mtime = int(time.time())
        entry.mode = 0o600
        return entry


def nameless(value: Any, names: Names) -> Any:
    """Return what JSON can hold without who did something, and why they say that they did."""
    if isinstance(value, Mapping):
        return {key: _nameless_field(key, inner, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [nameless(inner, names) for inner in value]
    return value


def harmless_settings(text: str) -> Any:
    """Return a configuration of the daemon with numbers and switches as they are, and of its words those that may go.

    Raises `tomllib.TOMLDecodeError`.
    """
    return _harmless(tomllib.loads(text))


def _nameless_field(key: str, value: Any, names: Names) -> Any:
    if isinstance(value, str) and key in _WHO:
        return names.instead_of(value)
    if isinstance(value, str) and key in _UNSAID and value:
        return REMOVED
    if isinstance(value, Mapping) and key in _BY_NAME:
        return {names.instead_of(name): nameless(inner, names) for name, inner in value.items()}
    return nameless(value, names)


def _harmless(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _harmless(value)
        if isinstance(value, Mapping)
        else value
        if isinstance(value, int | float) or key in _HARMLESS
        else REMOVED
        for key, value in table.items()
    }
