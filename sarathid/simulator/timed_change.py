"""A change of the settings in the middle of a simulated run, as it is written: `120s:budget=512,slo-tbt=off`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sarathid.config import parse_duration_s
from sarathid.errors import ConfigError
from sarathid.protocol.slo import SLO, BudgetChoice, read_budget
from sarathid.protocol.stats import EngineSettings
from sarathid.protocol.step import ChangeSettings
from sarathid.scheduler.policies.registry import find_policy

FORM = "120s:budget=512,policy=prefill-first,slo-tbt=80ms,slo-ttft=2s"


@dataclass(frozen=True, slots=True)
class TimedChange:
    """A change `at_s` seconds from the start of the run."""

    at_s: float
    change: ChangeSettings


def parse_timed_change(text: str) -> TimedChange:
    """Return what is written like `FORM`, any of its settings left out; raises `ConfigError` for anything else.

    Where one of the targets is given, one that is not is off.
    """
    moment, _, settings = text.partition(":")
    values: dict[str, Any] = {}
    targets: dict[str, float | None] = {}
    for name, _, value in (setting.partition("=") for setting in settings.split(",")):
        if name not in _READERS:
            raise ConfigError(f"{text!r} is no change; write {FORM}")
        (targets if name in _TARGETS else values)[_READERS[name][0]] = _READERS[name][1](value)
    if targets:
        values["slo"] = SLO(**targets)
    return TimedChange(parse_duration_s(moment), ChangeSettings(change_id=0, **values))


def form_of(at_s: float, settings: EngineSettings) -> str:
    """Return the text from which `parse_timed_change` reads a change to these settings."""
    tbt, ttft = (
        "off" if target_s is None else f"{target_s}s" for target_s in (settings.slo.tbt_s, settings.slo.ttft_s)
    )
    return f"{at_s}s:budget={settings.budget},policy={settings.policy},slo-tbt={tbt},slo-ttft={ttft}"


def _budget(text: str) -> BudgetChoice:
    try:
        return read_budget(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no budget; {error}") from None


def _policy(text: str) -> str:
    find_policy(text)
    return text


def _target(text: str) -> float | None:
    return None if text == "off" else parse_duration_s(text)


_READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "budget": ("budget", _budget),
    "policy": ("policy", _policy),
    "slo-tbt": ("tbt_s", _target),
    "slo-ttft": ("ttft_s", _target),
}
_TARGETS = frozenset({"slo-tbt", "slo-ttft"})
