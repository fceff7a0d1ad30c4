"""`sarathictl get [SETTING]`."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

from sarathictl import units
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.state.retuning import chosen_in_words
from sarathid.errors import ControlRefused
from sarathid.protocol.control import ErrorCode
from sarathid.protocol.stats import EngineSettings


class Setting(StrEnum):
    """What can be asked for by itself."""

    BUDGET = "budget"
    POLICY = "policy"
    TBT = "tbt"
    TTFT = "ttft"
    REVISION = "revision"


def get(
    context: typer.Context,
    setting: Annotated[Setting | None, typer.Argument(help="One of them, bare, for a script [all].")] = None,
    json: JsonOption = False,
) -> None:
    """Print the settings in force, or one of them."""
    invocation = invocation_of(context, is_json=json)
    with invocation.connect() as client:
        settings = client.status().settings
    if settings is None:
        raise ControlRefused(ErrorCode.UNAVAILABLE, "the engine is not ready yet", "`sarathictl status --wait ready`")
    if setting is not None:
        invocation.answer({setting: _value(setting, settings)}, _words(setting, settings))
        return
    lines = [f"{'revision':<14}{settings.revision}"]
    lines += [f"{name:<14}{value}" for name, value in chosen_in_words(settings).items()]
    invocation.answer(msgspec.to_builtins(settings), "\n".join(lines))


def _value(setting: Setting, settings: EngineSettings) -> Any:
    return {
        Setting.BUDGET: settings.budget,
        Setting.POLICY: settings.policy,
        Setting.TBT: settings.slo.tbt_s,
        Setting.TTFT: settings.slo.ttft_s,
        Setting.REVISION: settings.revision,
    }[setting]


def _words(setting: Setting, settings: EngineSettings) -> str:
    """Return the value as the command that sets it takes it."""
    value = _value(setting, settings)
    if setting in (Setting.TBT, Setting.TTFT):
        return "off" if value is None else units.exact_duration(value)
    return str(value)
