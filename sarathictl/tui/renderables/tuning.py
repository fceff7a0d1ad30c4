"""The history of the settings: a line a revision, one of them in full, and the audit log."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from rich.text import Text

from sarathictl import units
from sarathictl.state.comparison import said_and_measured
from sarathictl.state.forecast_record import record_of
from sarathictl.state.retuning import audit_line, change_in_words, outcome_in_words, settings_in_words
from sarathictl.tui.renderables.line import Piece, fit, line, title
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.revisions import AuditEntry, Revision, RevisionState

_LABEL_WIDTH = 11
_TAKEN_BACK = (RevisionState.EXPIRED, RevisionState.GUARDED)


def draw_revisions(
    history: Sequence[Revision], selected: int | None, width: int, height: int, look: Look
) -> list[Text]:
    """Return at most `height` lines, newest first; `selected` is the number of the marked revision."""
    if not history:
        return [fit(line([(" asking the daemon", look.faint)]), width)]
    newest_first = list(reversed(history))
    marked = next((index for index, found in enumerate(newest_first) if found.revision == selected), 0)
    first = max(0, marked - height + 1)
    return [
        _draw_revision(revision, revision.revision == selected, width, look)
        for revision in newest_first[first : first + height]
    ]


def revisions_title(history: Sequence[Revision], look: Look) -> Text:
    """Return what the list holds, and how past forecasts came true."""
    record = record_of(history)
    words = "1 revision" if len(history) == 1 else f"{len(history)} revisions"
    if record.num_measured:
        words += f" · {record.num_true} of {record.num_measured} forecasts came true"
    return title("CHANGES", words, look)


def draw_revision(revision: Revision, width: int, height: int, look: Look) -> list[Text]:
    """Return at most `height` lines on one revision: what, when, who, why, on which terms, and what came of it."""
    lines = [text for label, words, is_bad in _facts(revision) for text in _fact(label, words, is_bad, width, look)]
    return [fit(text, width) for text in lines[:height]]


def draw_audit(entries: Sequence[AuditEntry], width: int, height: int, look: Look) -> list[Text]:
    """Return the newest lines of the audit log that fit, the newest first."""
    if not entries:
        return [fit(line([(" asking the daemon", look.faint)]), width)]
    return [fit(line([(f" {audit_line(entry)}", look.plain)]), width) for entry in list(reversed(entries))[:height]]


def _draw_revision(revision: Revision, is_selected: bool, width: int, look: Look) -> Text:
    pieces: list[Piece] = [
        ("▶" if is_selected else " ", look.strong),
        (f"r{revision.revision:<4}", look.strong),
        (f"{units.clock_time(revision.time_s)}  ", look.faint),
        (f"{change_in_words(revision)}  ", look.plain),
        (outcome_in_words(revision), look.over if revision.state in _TAKEN_BACK else look.faint),
    ]
    text = fit(line(pieces), width)
    if is_selected:
        text.stylize_before(look.selected)
    return text


def _facts(revision: Revision) -> Iterator[tuple[str, str, bool]]:
    if change_in_words(revision) != settings_in_words(revision.new):
        yield "changed", change_in_words(revision), False
    yield "to", settings_in_words(revision.new), False
    yield "when", f"{units.calendar_time(revision.time_s)}, from iteration {revision.iteration} on", False
    yield "by", units.printable(revision.changed_by) or f"({revision.origin.value})", False
    if revision.reason:
        yield "reason", units.printable(revision.reason), False
    if revision.probation_s is not None:
        yield "terms", f"taken back after {units.duration(revision.probation_s)} unless kept", False
    if revision.guard:
        yield "guard", revision.guard, False
    yield "outcome", outcome_in_words(revision), revision.state in _TAKEN_BACK
    for name, words, is_held in said_and_measured(revision.predicted, revision.measured, revision.new.slo):
        yield name, words, not is_held


def _fact(label: str, words: str, is_bad: bool, width: int, look: Look) -> Iterator[Text]:
    for number, part in enumerate(wrap(words, max(1, width - _LABEL_WIDTH - 1))):
        name = "" if number else label
        yield line([(f" {name:<{_LABEL_WIDTH}}", look.faint), (part, look.over if is_bad else look.plain)])
