"""A change of settings in words: targets as an operator writes them, and what a change replaced."""

from collections.abc import Sequence

from sarathictl import units
from sarathid.errors import ConfigError
from sarathid.protocol.control import Retuned
from sarathid.protocol.slo import BudgetMode
from sarathid.protocol.stats import EngineSettings, SettingsChanged

_OFF = "off"
_FIELD_OF_TARGET = {"tbt": "tbt_s", "tbt.p99": "tbt_s", "ttft": "ttft_s", "ttft.p95": "ttft_s"}


def describe_change(retuned: Retuned) -> str:
    """Return `"token budget 128 -> 512 (revision 7), in force from iteration 88390"`."""
    since = f"(revision {retuned.new.revision}), in force from iteration {retuned.iteration}"
    before, after = _described(retuned.old), _described(retuned.new)
    changes = [f"{name} {before[name]} -> {after[name]}" for name in before if before[name] != after[name]]
    return f"{', '.join(changes) or 'nothing changed'} {since}"


def read_targets(targets: Sequence[str]) -> dict[str, float | None]:
    """Return the fields of `SLO` that `["tbt=100ms", "ttft=off"]` or `["off"]` change.

    Raises `ConfigError` when one of them cannot be read.
    """
    if list(targets) == [_OFF]:
        return {"tbt_s": None, "ttft_s": None}
    return dict(map(_read_target, targets))


def budget_in_words(settings: EngineSettings | SettingsChanged) -> str:
    """Return `"512"`, `"512, profiled"` or `"auto"`."""
    if settings.budget_mode is BudgetMode.ADAPTIVE:
        return "auto"
    return str(settings.token_budget) + (", profiled" if settings.budget_mode is BudgetMode.PROFILED else "")


def _read_target(text: str) -> tuple[str, float | None]:
    name, _, value = text.partition("=")
    if name not in _FIELD_OF_TARGET or not value:
        raise ConfigError(f"{text!r} is not a target; write tbt=100ms, ttft=2s, tbt=off, or off alone")
    return _FIELD_OF_TARGET[name], None if value == _OFF else units.parse_duration_s(value)


def _described(settings: EngineSettings) -> dict[str, str]:
    return {
        "token budget": budget_in_words(settings),
        "policy": settings.policy,
        "TBT target": _target(settings.slo.tbt_s),
        "TTFT target": _target(settings.slo.ttft_s),
    }


def _target(target_s: float | None) -> str:
    return _OFF if target_s is None else units.duration(target_s)
