"""What is wrong with a daemon and what to do about it: one check after another over what it tells of itself."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.sentences import cause_name, stall_sentence
from sarathictl.state.stages import stage_uses
from sarathictl.state.stall_causes import totals_by_cause
from sarathictl.state.why_budget import BUDGETED_POLICIES
from sarathid.protocol.control import DaemonState, Status
from sarathid.protocol.slo import BudgetMode
from sarathid.protocol.stats import Blocker, StallCause, StallEvent, WeightsOrigin
from sarathid.version import __version__

SPAN_S = 300.0
MOST_KV_SHARE = 0.9
LEAST_KV_TIME_S = 60.0
MOST_PREDICTION_ERROR = 0.2
MOST_BUBBLE_SHARE = 0.2

_HINTS = {
    StallCause.PREEMPTION: "a larger --kv-memory, or fewer answers at a time (--max-num-seqs)",
    StallCause.KV_WAIT: "a larger --kv-memory, or fewer answers at a time (--max-num-seqs)",
    StallCause.GARBAGE_COLLECTION: "`sarathictl record --last 10m --out FILE` keeps it for a report",
    StallCause.OVERHEAD: "look at what else runs on the engine's cores",
    StallCause.DECODE: "fewer answers at a time (--max-num-seqs), or a looser target",
    StallCause.BUBBLE: "`sarathictl stages` says which stage waits; `plan --budget auto` what even batches would give",
    StallCause.ENGINE_PAUSE: "ask who stopped the engine's process (SIGSTOP, a debugger)",
    StallCause.EVENT_LOOP: "look at what else runs beside the daemon",
    StallCause.DAEMON_PAUSE: "ask who stopped the daemon (SIGSTOP, ^Z)",
    StallCause.SLOW_READER: "have that client read as fast as it is sent to",
    StallCause.RESTART: "`sarathictl events --type engine` says why",
    StallCause.UNEXPLAINED: "`sarathictl record --last 10m --out FILE` keeps it for a report",
}
_WEIGHTS = {
    WeightsOrigin.MAPPED: "mapped as an earlier start has converted them",
    WeightsOrigin.CONVERTED: "converted at this start, and kept for the next",
}
_BLOCKERS = {
    Blocker.SEQUENCES: "all places are taken (--max-num-seqs)",
    Blocker.BLOCKS: "the KV cache has no room (--kv-memory)",
    Blocker.PREEMPTION: "a running request lost its blocks",
    Blocker.BUDGET: "prompts that run take the whole budget",
    Blocker.HOLD: "with one more the decodes alone would miss the target",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw: in words, and, where something is wrong, what to do about it."""

    name: str
    words: str
    hint: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing is to be done."""
        return not self.hint


def diagnose(status: Status, view: EngineView) -> list[Finding]:
    """Return a finding for each check, in the order in which somebody would look."""
    found = (check(status, view) for check in CHECKS)
    return [finding for finding in found if finding is not None]


def _daemon(status: Status, view: EngineView) -> Finding:
    del view
    up = f"{status.state} for {units.duration(status.uptime_s)}"
    if status.state is DaemonState.PAUSED:
        return Finding("daemon", "paused: it takes nothing new", "`sarathictl resume` has it take requests again")
    if status.state is not DaemonState.READY:
        return Finding("daemon", up, "`sarathictl status --wait ready` waits; `events --type engine` says why")
    if status.num_engine_restarts:
        words = f"{up}; its engine was lost {units.times(status.num_engine_restarts)}"
        return Finding("daemon", words, "`sarathictl events --type engine` says when and why")
    return Finding("daemon", f"{up}, no engine was lost")


def _version(status: Status, view: EngineView) -> Finding:
    del view
    if status.version == __version__:
        return Finding("version", f"{__version__} on both sides")
    words = f"the daemon is {units.printable(status.version)}, this console {__version__}"
    return Finding("version", words, "run the console of the daemon's version")


def _tbt(status: Status, view: EngineView) -> Finding:
    target_s, p99_s = view.slo.tbt_s, status.tbt.p99_s
    if target_s is None:
        return Finding("TBT", "without a target nothing counts as a stall", "`sarathictl set-slo tbt=100ms`")
    if p99_s is None:
        return Finding("TBT", "no token was seen of late")
    if p99_s <= target_s:
        return Finding("TBT", f"P99 {units.duration(p99_s)}, target {units.duration(target_s)}")
    words = f"P99 {units.duration(p99_s)}, {p99_s / target_s:.1f} times the target of {units.duration(target_s)}"
    return Finding("TBT", words, _budget_hint(view))


def _budget_hint(view: EngineView) -> str:
    settings = view.settings
    if settings is not None and settings.policy not in BUDGETED_POLICIES:
        return f"{settings.policy} runs whole prompts: `sarathictl set-policy stall-free --dry-run`"
    if settings is not None and settings.budget_mode is BudgetMode.FIXED:
        return "a budget that follows the target: `sarathictl set-budget auto --dry-run`"
    return "`sarathictl why` says what bounds the budget"


def _ttft(status: Status, view: EngineView) -> Finding | None:
    del status
    target_s, p95_s = view.slo.ttft_s, view.ttft.p95_s
    if target_s is None or p95_s is None:
        return None
    words = f"P95 {units.duration(p95_s)}, target {units.duration(target_s)}"
    if p95_s <= target_s:
        return Finding("TTFT", words)
    return Finding("TTFT", words, "`sarathictl plan --budget auto --budget 2048` says what others would give")


def _stalls(status: Status, view: EngineView) -> Finding | None:
    del status
    stalls = [stall for stall in view.stalls if stall.time_s >= view.now_s - SPAN_S]
    if not stalls:
        return Finding("stalls", f"none in the last {units.duration_name(SPAN_S)}")
    worst, total = max(stalls, key=lambda stall: stall.worst_gap_s), totals_by_cause(stalls)[0]
    share = total.waited_s / sum(each.waited_s for each in totals_by_cause(stalls))
    words = (
        f"{len(stalls)} in the last {units.duration_name(SPAN_S)}, {units.share(share)} of the waiting by "
        f"{cause_name(total.cause)}; the worst: {stall_sentence(worst)}"
    )
    return Finding("stalls", words, _HINTS.get(total.cause) or _why(worst))


def _why(stall: StallEvent) -> str:
    if stall.preventing_budget is None:
        return f"`sarathictl why {stall.victims[0].request_id}` takes it apart"
    return f"`sarathictl set-budget {stall.preventing_budget} --dry-run`, which would have prevented it"


def _queue(status: Status, view: EngineView) -> Finding | None:
    words = f"{status.num_running} running, {status.num_waiting} waiting"
    blocker = view.recent[-1].blocked_by if view.recent else None
    if not status.num_waiting or blocker is None:
        return Finding("queue", words)
    return Finding("queue", f"{words}: {_BLOCKERS[blocker]}", "`sarathictl requests --state waiting`, then `why ID`")


def _decodes(status: Status, view: EngineView) -> Finding | None:
    del view
    if not status.is_overloaded:
        return None
    words = "the answers under way take all the time that the TBT target allows"
    return Finding("decodes", words, "fewer answers at a time (--max-num-seqs), or a looser target")


def _kv_cache(status: Status, view: EngineView) -> Finding:
    del status
    full = "" if view.kv_full_in_s is None else f", full in {units.duration(view.kv_full_in_s)} at this rate"
    waiting = f"; {view.num_preempted} preempted wait to go on" if view.num_preempted else ""
    words = f"{units.share(view.kv_share)} used{full}{waiting}"
    is_soon = view.kv_full_in_s is not None and view.kv_full_in_s < LEAST_KV_TIME_S
    if view.num_preempted or view.kv_share > MOST_KV_SHARE or is_soon:
        hint = "before answers are preempted: a larger --kv-memory, or fewer at a time (--max-num-seqs)"
        return Finding("KV cache", words, hint)
    return Finding("KV cache", words)


def _prediction(status: Status, view: EngineView) -> Finding | None:
    del view
    error = status.prediction_error
    if error.p50 is None:
        return None
    words = f"iterations are predicted within {units.fine_share(error.p50)} (P50)"
    if error.p50 <= MOST_PREDICTION_ERROR:
        return Finding("forecasts", words)
    hint = f"`{_profile_command(status)}` measures this device"
    return Finding("forecasts", f"{words}: forecasts and `auto` are off", hint)


def _profile_command(status: Status) -> str:
    """Return what measures the device in the layout that serves, which is told as `tp=2 pp=1`."""
    layout = "" if status.engine is None else status.engine.layout
    sizes = re.findall(r"\b(tp|pp)=(\d+)", layout)
    return " ".join(["sarathid profile", *(f"--{name} {size}" for name, size in sizes if size != "1")])


def _pipeline(status: Status, view: EngineView) -> Finding | None:
    del status
    uses = stage_uses(view.recent)
    if len(uses) < 2:
        return None
    number, worst = max(enumerate(uses), key=lambda use: use[1].bubble_share)
    words = f"stage {number} idled {units.share(worst.bubble_share)} of the time although there was work"
    if worst.bubble_share <= MOST_BUBBLE_SHARE:
        return Finding("pipeline", words)
    filled = stage_uses([iteration for iteration in view.recent if iteration.num_running >= len(uses)])
    if all(use.bubble_share <= MOST_BUBBLE_SHARE for use in filled):
        return Finding("pipeline", f"{words}, while fewer requests ran than it takes to fill {len(uses)} stages")
    return Finding("pipeline", words, "`sarathictl plan --budget auto` says what even batches would give")


def _weights(status: Status, view: EngineView) -> Finding | None:
    del view
    engine = status.engine
    if engine is None or (engine.weights_origin is WeightsOrigin.READ and not engine.weights_fault):
        return None
    if engine.weights_fault:
        fault = units.printable(engine.weights_fault)
        return Finding(
            "weights", fault, "make room for them in the cache directory ($XDG_CACHE_HOME): starts are slower"
        )
    return Finding("weights", _WEIGHTS[engine.weights_origin])


def _recorder(status: Status, view: EngineView) -> Finding | None:
    del view
    if status.recorder is None:
        return None
    if status.recorder.is_recording:
        return Finding("recorder", f"keeps {units.size(status.recorder.num_bytes)} of the past")
    message, directory = units.printable(status.recorder.message), units.printable(status.recorder.directory)
    advice = f"mend that for {directory}: it tries again every minute" if directory else "`sarathid serve --record 60m`"
    return Finding("recorder", f"nothing is recorded: {message or 'it is off'}", advice)


CHECKS: tuple[Callable[[Status, EngineView], Finding | None], ...] = (
    _daemon,
    _version,
    _tbt,
    _ttft,
    _stalls,
    _queue,
    _decodes,
    _kv_cache,
    _prediction,
    _pipeline,
    _weights,
    _recorder,
)
