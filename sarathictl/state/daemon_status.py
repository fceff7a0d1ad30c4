"""The daemon in one look, in words, and whether it is well."""

from collections.abc import Iterator

from sarathictl import units
from sarathictl.state.gpus import gpu_words
from sarathictl.state.retuning import budget_in_words
from sarathid.protocol.control import DaemonState, Percentiles, RecorderStatus, Status
from sarathid.protocol.slo import SLO


def is_healthy(found: Status) -> bool:
    """Return whether the daemon is ready and neither target is missed over the last window."""
    slo = found.settings.slo if found.settings else SLO()
    return found.state is DaemonState.READY and not (_misses(found.tbt, slo.tbt_s) or _misses(found.ttft, slo.ttft_s))


def describe_status(found: Status) -> Iterator[tuple[str, str]]:
    """Yield what there is to say, each with its label, empty where it belongs to the one before."""
    yield "daemon", f"{found.state}, version {found.version}, pid {found.pid}, up {units.duration(found.uptime_s)}"
    if engine := found.engine:
        yield "model", f"{engine.model}, {engine.dtype} on {engine.device}, {engine.layout}"
        yield "", f"weights {units.size(engine.weight_bytes)}, attention {engine.attention_backend}"
        yield "KV cache", f"{units.size(engine.kv_cache_bytes)}, {_blocks(found)}"
        yield "", _reused(found)
    for number, gpu in enumerate(found.gpus):
        yield "" if number else "GPUs", gpu_words(gpu)
    if settings := found.settings:
        limits = f" of {engine.min_token_budget} to {engine.max_token_budget}" if engine else ""
        yield "budget", f"{budget_in_words(settings)} tokens an iteration{limits} (revision {settings.revision})"
        yield "policy", settings.policy
        yield "TBT", _against(found.tbt, settings.slo.tbt_s)
        yield "TTFT", _against(found.ttft, settings.slo.ttft_s)
    error = found.prediction_error
    if error.p50 is not None and error.p95 is not None:
        shares = f"{units.fine_share(error.p50)} (p50), {units.fine_share(error.p95)} (p95)"
        yield "predicted", f"iterations within {shares} over the last {units.duration(error.window_s)}"
    if found.is_overloaded:
        yield (
            "overload",
            "the answers under way take all the time that the TBT target allows; `sarathictl why` says more",
        )
    if found.recorder is not None:
        yield "recorder", _recorded(found.recorder)
    if found.role is not None:
        yield "you", f"may {found.role} here"
    yield "requests", f"{found.num_running} running, {found.num_waiting} waiting, {found.num_preempted} preempted"
    yield (
        "so far",
        (
            f"{found.num_iterations} iterations, {units.tokens(found.num_output_tokens)} out, "
            f"{found.num_finished} finished, {found.num_cancelled} cancelled, {found.num_stalls} stalls, "
            f"{found.num_engine_restarts} engine restarts"
        ),
    )


def _recorded(recorder: RecorderStatus) -> str:
    if not recorder.is_recording:
        return f"off: {units.printable(recorder.message)}"
    return f"keeps {units.size(recorder.num_bytes)} of the past in {units.printable(recorder.directory)}"


def _blocks(found: Status) -> str:
    num_blocks = found.num_blocks_used + found.num_blocks_free
    used = units.share(found.num_blocks_used / num_blocks) if num_blocks else units.ABSENT
    return f"{found.num_blocks_used} of {num_blocks} blocks used ({used})"


def _reused(found: Status) -> str:
    wanted = found.num_cached_tokens + found.num_prefill_tokens
    share = f" ({units.share(found.num_cached_tokens / wanted)} of what prompts needed)" if wanted else ""
    return f"{units.tokens(found.num_cached_tokens)} reused of earlier prompts{share}"


def _against(seen: Percentiles, target_s: float | None) -> str:
    target = f"target {units.duration(target_s)}" if target_s is not None else "no target"
    if not seen.count:
        return f"{target}; nothing seen in the last {units.duration(seen.window_s)}"
    figures = f"p50 {units.duration(seen.p50_s)}, p99 {units.duration(seen.p99_s)}, max {units.duration(seen.max_s)}"
    verdict = ", missed" if _misses(seen, target_s) else ""
    return f"{figures} over the last {units.duration(seen.window_s)}; {target}{verdict}"


def _misses(seen: Percentiles, target_s: float | None) -> bool:
    return target_s is not None and seen.p99_s is not None and seen.p99_s > target_s
