"""How the newest change stands: until when it can be taken back, what was said of it, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sarathictl.state.engine_view import EngineView
from sarathid.protocol.changes import Figures
from sarathid.protocol.revisions import Revision, RevisionState


@dataclass(frozen=True, slots=True)
class Standing:
    """The newest revision; `due_s` is until it is taken back, None unless it is on probation.

    `measured` is what the daemon wrote down of it, before that what is seen since, None while that is too little.
    """

    revision: Revision
    due_s: float | None
    measured: Figures | None


def standing_of(history: Sequence[Revision], view: EngineView, wall_offset_s: float) -> Standing | None:
    """Return how the newest of the revisions stands; None before the first change."""
    if len(history) < 2:
        return None
    newest = history[-1]
    age_s = view.now_s + wall_offset_s - newest.time_s
    is_on_probation = newest.state is RevisionState.ON_PROBATION and newest.probation_s is not None
    due_s = max(0.0, (newest.probation_s or 0.0) - age_s) if is_on_probation else None
    return Standing(newest, due_s, newest.measured or _seen_since(view, age_s))


def _seen_since(view: EngineView, age_s: float) -> Figures | None:
    """Return the figures of the longest span that began after the change."""
    spans = [figures for figures in view.tbt if figures.span_s <= age_s and figures.count]
    if not spans:
        return None
    longest = spans[-1]
    ttft = view.ttft if view.ttft.span_s <= age_s else None
    return Figures(
        window_s=longest.span_s,
        tbt_p50_s=longest.p50_s,
        tbt_p99_s=longest.p99_s,
        ttft_p50_s=None if ttft is None else ttft.p50_s,
        ttft_p95_s=None if ttft is None else ttft.p95_s,
        tokens_per_s=view.output_rate,
    )
