"""`sarathictl status`: the daemon in one look."""

import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from sarathictl import units
from sarathictl.commands.watch import WatchOption, watch
from sarathictl.invocation import Invocation, JsonOption, invocation_of
from sarathictl.output import ExitCode
from sarathictl.state.retuning import budget_in_words
from sarathid.errors import NotPermitted, NotReachable
from sarathid.protocol.control import DaemonState, GetStatus, Percentiles, Status
from sarathid.protocol.slo import SLO

LOOK_EVERY_S = 0.2


class Awaited(StrEnum):
    """What can be waited for."""

    READY = "ready"
    DRAINED = "drained"


def status(
    context: typer.Context,
    json: JsonOption = False,
    check: Annotated[
        bool, typer.Option("--check", help="Print nothing; exit 8 when not ready or a target is missed.")
    ] = False,
    wait: Annotated[
        Awaited | None, typer.Option("--wait", help="Print nothing; end when it is ready, or drained and gone.")
    ] = None,
    deadline: Annotated[str | None, typer.Option(metavar="DURATION", help="Wait no longer; exit 124.")] = None,
    again: WatchOption = False,
) -> None:
    """Show what runs, with which settings, and how well."""
    invocation = invocation_of(context, is_json=json)
    if wait is not None:
        wait_for(invocation, wait, None if deadline is None else units.parse_duration_s(deadline))
        return
    if check:
        raise typer.Exit(ExitCode.DONE if is_healthy(_ask(invocation)) else ExitCode.BAD_ANSWER)

    def answer() -> None:
        found = _ask(invocation)
        text = "\n".join(f"{name:<10}{words}" for name, words in _describe(found))
        invocation.answer(msgspec.to_builtins(found), text)

    watch(invocation, answer, is_repeated=again)


def wait_for(invocation: Invocation, awaited: Awaited, deadline_s: float | None) -> None:
    """Return when the daemon is ready, or has drained and is gone; raises `TimeoutError` when it is too late."""
    started_s = time.monotonic()
    while not _has_come(invocation, awaited):
        if deadline_s is not None and time.monotonic() - started_s >= deadline_s:
            raise TimeoutError(f"the daemon was not {awaited} within {units.duration(deadline_s)}")
        time.sleep(LOOK_EVERY_S)


def _has_come(invocation: Invocation, awaited: Awaited) -> bool:
    try:
        state = _ask(invocation).state
    except NotPermitted:
        raise
    except NotReachable:
        return awaited is Awaited.DRAINED
    except TimeoutError:
        return False
    return awaited is Awaited.READY and state is DaemonState.READY


def _ask(invocation: Invocation) -> Status:
    with invocation.connect() as client:
        return client.request(GetStatus(), Status)


def is_healthy(found: Status) -> bool:
    """Return whether the daemon is ready and neither target is missed over the last window."""
    slo = found.settings.slo if found.settings else SLO()
    return found.state is DaemonState.READY and not (_misses(found.tbt, slo.tbt_s) or _misses(found.ttft, slo.ttft_s))


def _describe(found: Status) -> Iterator[tuple[str, str]]:
    yield "daemon", f"{found.state}, version {found.version}, pid {found.pid}, up {units.duration(found.uptime_s)}"
    if engine := found.engine:
        yield "model", f"{engine.model}, {engine.dtype} on {engine.device}, {engine.layout}"
        yield "", f"weights {units.size(engine.weight_bytes)}, attention {engine.attention_backend}"
        yield "KV cache", f"{units.size(engine.kv_cache_bytes)}, {_blocks(found)}"
        yield "", _reused(found)
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
