"""`sarathictl support-bundle`: all that somebody needs who is asked for help, in one file."""

import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sarathictl import units
from sarathictl.commands.record import read_last_s, recorded
from sarathictl.commands.snapshot import snapshot_now, view_of
from sarathictl.commands.tell import fields_of, remembered
from sarathictl.export.bundle import Bundle, harmless_settings
from sarathictl.export.environment import environment_facts
from sarathictl.export.told import Names
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathictl.state.diagnosis import diagnose
from sarathid.errors import ConfigError, SarathiError
from sarathid.paths import daemon_config_path
from sarathid.protocol.control import (
    AuditTrail,
    ControlRequest,
    ExplainBudget,
    GetAudit,
    GetHistory,
    GetStatus,
    History,
    ListRequests,
    RequestList,
    Status,
)
from sarathid.protocol.why import BudgetReasons

_QUESTIONS: dict[str, tuple[ControlRequest, type[Any]]] = {
    "status.json": (GetStatus(), Status),
    "requests.json": (ListRequests(), RequestList),
    "history.json": (GetHistory(), History),
    "audit.json": (GetAudit(), AuditTrail),
    "why.json": (ExplainBudget(), BudgetReasons),
}
_ABOUT = """\
What `sarathictl support-bundle` gathered: {what}.

There is no prompt and no answer in it, for none was kept. Who asked has another name here, the same one throughout;
reasons that operators gave, keys, paths and addresses are left out. `sarathictl replay recording.srec` plays what
happened. What could not be had is told of in missing.json.
"""


def support_bundle(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to [sarathid-support-DATE.tar.gz].")
    ] = None,
    last: Annotated[str, typer.Option(metavar="DURATION", help="How much of the recording.")] = "15m",
    json: JsonOption = False,
) -> None:
    """Gather what somebody needs who is asked for help.

    The recording, what is in force, what happened and was changed, and versions, in one archive; no text, no name, no
    key. Of a daemon that is gone, what it left.
    """
    invocation = invocation_of(context, is_json=json)
    path = out or Path(time.strftime("sarathid-support-%Y%m%d-%H%M%S.tar.gz"))
    try:
        with Bundle(path, Names()) as bundle:
            missing = dict(_fill(bundle, invocation, read_last_s(last)))
            bundle.add_json("missing.json", missing)
            bundle.add_text("about.txt", _ABOUT.format(what=", ".join(bundle.contents)))
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}; name another file") from error
    num_bytes = path.stat().st_size
    fields = {"file": str(path), "num_bytes": num_bytes, "contents": bundle.contents, "missing": missing}
    lines = [f"{path}: {units.size(num_bytes)}", *(f"without {name}: {words}" for name, words in missing.items())]
    invocation.answer(fields, "\n".join(lines))


def _fill(bundle: Bundle, invocation: Invocation, last_s: float) -> Iterator[tuple[str, str]]:
    """Add all that can be had, and yield what can't with the reason."""
    parts: dict[str, Callable[[], None]] = {
        "environment.json": lambda: bundle.add_json("environment.json", environment_facts()),
        "configuration.json": lambda: bundle.add_json("configuration.json", _configuration()),
        **{name: _asking(bundle, invocation, name) for name in _QUESTIONS},
        "events.json": lambda: bundle.add_json("events.json", _events(invocation)),
        "doctor.json": lambda: bundle.add_json("doctor.json", _findings(invocation)),
        "recording.srec": lambda: bundle.add_tape("recording.srec", recorded(invocation, last_s)),
    }
    for name, add in parts.items():
        try:
            add()
        except (SarathiError, TimeoutError) as error:
            yield name, str(error)


def _asking(bundle: Bundle, invocation: Invocation, name: str) -> Callable[[], None]:
    def add() -> None:
        op, reply_type = _QUESTIONS[name]
        bundle.add_json(name, msgspec.to_builtins(invocation.ask()(op, reply_type)))

    return add


def _configuration() -> Any:
    """Return the daemon's configuration, as far as it is of the user who asks and gives nobody away."""
    path = daemon_config_path()
    try:
        return harmless_settings(path.read_text())
    except FileNotFoundError:
        raise ConfigError("there is no sarathid.toml, or it is another user's") from None
    except (OSError, ValueError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"sarathid.toml can't be read: {error}") from error


def _events(invocation: Invocation) -> list[Any]:
    """Return what happened, without the words in which names could stand."""
    found, offset_s = remembered(invocation, None)
    told = (fields_of(happening, offset_s) for happening in found)
    return [{key: value for key, value in fields.items() if key != "words"} for fields in told]


def _findings(invocation: Invocation) -> list[Any]:
    snapshot = snapshot_now(invocation)
    return [asdict(finding) for finding in diagnose(snapshot.status, view_of(snapshot))]
