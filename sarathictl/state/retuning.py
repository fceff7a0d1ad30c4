"""A change of settings in words: what an operator writes, what a change replaced, and what became of it."""

from collections.abc import Iterator, Sequence

import msgspec

from sarathictl import units
from sarathid.errors import ConfigError
from sarathid.protocol.changes import Figures
from sarathid.protocol.control import Retuned
from sarathid.protocol.revisions import AuditEntry, AuditEvent, Revision, RevisionState
from sarathid.protocol.slo import SLO, BudgetChoice, BudgetMode, SLOChange, read_budget
from sarathid.protocol.stats import EngineSettings, SettingsChanged

_OFF = "off"
_FIELD_OF_TARGET = {"tbt": "tbt_s", "tbt.p99": "tbt_s", "ttft": "ttft_s", "ttft.p95": "ttft_s"}
_OUTCOMES = {
    RevisionState.ON_PROBATION: "on probation",
    RevisionState.KEPT: "kept",
    RevisionState.EXPIRED: "taken back",
    RevisionState.GUARDED: "taken back",
    RevisionState.UNDONE: "undone",
    RevisionState.REPLACED: "replaced",
}


def describe_change(retuned: Retuned) -> str:
    """Return `"token budget 128 -> 512 (revision 7), in force from iteration 88390"`, or what would change."""
    if retuned.iteration is None:
        words = _differences(chosen_in_words(retuned.old), chosen_in_words(retuned.new))
        return f"would change: {words} (revision {retuned.new.revision})"
    words = differences(retuned.old, retuned.new)
    return f"{words} (revision {retuned.new.revision}), in force from iteration {retuned.iteration}"


def describe_outcome(revision: Revision) -> str:
    """Return `"revision 7 taken back: tbt.p99 < 120ms fails: 268 ms"`."""
    return f"revision {revision.revision} {outcome_in_words(revision)}"


def outcome_in_words(revision: Revision) -> str:
    """Return `"kept"`, `"on probation"` or `"taken back: tbt.p99 < 120ms fails: 268 ms"`."""
    return f"{_OUTCOMES[revision.state]}{_because(revision.verdict)}"


def change_in_words(revision: Revision) -> str:
    """Return what a revision changed, and of the first one all its settings."""
    return settings_in_words(revision.new) if revision.old == revision.new else differences(revision.old, revision.new)


def revision_line(revision: Revision) -> str:
    """Return `"r7  2026-11-23 14:05:12  token budget 128 -> 512  by 0/17/bash: why  [kept]"`."""
    what = change_in_words(revision) + _by(revision)
    return f"r{revision.revision}  {units.calendar_time(revision.time_s)}  {what}  [{outcome_in_words(revision)}]"


def revision_in_full(revision: Revision) -> str:
    """Return that line with its terms, what was said of it and what was measured."""
    terms = [f"for {units.duration(revision.probation_s)} unless kept"] if revision.probation_s is not None else []
    guard = [f"while {revision.guard}"] if revision.guard else []
    return "; ".join((revision_line(revision), *terms, *guard, *_said_and_measured(revision)))


def audit_line(entry: AuditEntry) -> str:
    """Return one entry of the audit log in words."""
    revision = entry.revision
    match entry.event:
        case AuditEvent.STARTED:
            words = f"began: {settings_in_words(revision.new)}"
        case AuditEvent.CHANGED:
            words = differences(revision.old, revision.new) + _by(revision)
        case AuditEvent.ENDED:
            words = f"{_OUTCOMES[revision.state]} by {units.printable(entry.by)}{_because(revision.verdict)}"
        case AuditEvent.MEASURED:
            words = "; ".join(_said_and_measured(revision))
    return f"{units.calendar_time(entry.time_s)}  r{revision.revision}  {words}"


def differences(old: EngineSettings, new: EngineSettings) -> str:
    """Return `"token budget 128 -> 512, policy stall-free -> prefill-first"`."""
    return _differences(values_in_words(old), values_in_words(new))


def _differences(before: dict[str, str], after: dict[str, str]) -> str:
    changes = [f"{name} {before[name]} -> {after[name]}" for name in before if before[name] != after[name]]
    return ", ".join(changes) or "nothing changed"


def settings_in_words(settings: EngineSettings) -> str:
    """Return every setting with its value."""
    return ", ".join(f"{name} {value}" for name, value in values_in_words(settings).items())


def read_budget_choice(text: str) -> BudgetChoice:
    """Return the budget that an operator writes; raises `ConfigError` when it cannot be read."""
    try:
        return read_budget(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a budget; {error}") from None


def read_targets(targets: Sequence[str]) -> SLOChange:
    """Return what `["tbt=100ms", "ttft=off"]` or `["off"]` change.

    Raises `ConfigError` when one of them cannot be read.
    """
    if list(targets) == [_OFF]:
        return SLOChange(tbt_s=None, ttft_s=None)
    read = [_read_target(text) for text in targets]
    if len(dict(read)) < len(read):
        raise ConfigError(f"{' '.join(targets)!r} names a target twice; which of its values is meant?")
    return msgspec.convert(dict(read), SLOChange)


def targets_in_words(slo: SLO) -> str:
    """Return `"tbt=100ms ttft=off"`."""
    named = (("tbt", slo.tbt_s), ("ttft", slo.ttft_s))
    return " ".join(f"{name}={units.short_duration(target_s) if target_s else _OFF}" for name, target_s in named)


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


def chosen_in_words(settings: EngineSettings) -> dict[str, str]:
    """Return every setting by its name as it is asked for: the number of a profiled budget is the engine's to say."""
    return {**values_in_words(settings), "token budget": str(settings.budget)}


def values_in_words(settings: EngineSettings) -> dict[str, str]:
    """Return every setting's value by its name."""
    return {
        "token budget": budget_in_words(settings),
        "policy": settings.policy,
        "TBT target": _target(settings.slo.tbt_s),
        "TTFT target": _target(settings.slo.ttft_s),
    }


def _target(target_s: float | None) -> str:
    return _OFF if target_s is None else units.duration(target_s)


def _by(revision: Revision) -> str:
    who = f" by {units.printable(revision.changed_by)}" if revision.changed_by else ""
    return f"{who}{_because(revision.reason)}"


def _because(words: str) -> str:
    return f": {units.printable(words)}" if words else ""


def _said_and_measured(revision: Revision) -> Iterator[str]:
    for verb, figures in (("expected", revision.predicted), ("measured", revision.measured)):
        if figures is not None:
            yield f"{verb} {_figures(figures)}"


def _figures(figures: Figures) -> str:
    return (
        f"TBT p99 {units.duration(figures.tbt_p99_s)}, TTFT p50 {units.duration(figures.ttft_p50_s)} "
        f"p95 {units.duration(figures.ttft_p95_s)}, {figures.tokens_per_s:.0f} tokens/s "
        f"over {units.duration(figures.window_s)}"
    )
