"""A stall as a sentence: who waited, how long, and because of whom."""

from collections.abc import Iterator

from sarathictl import units
from sarathid.protocol.stats import ChunkStats, IterationScheduled, RequestStats, StallCause, StallEvent

_CAUSES = {
    StallCause.PREFILL: "prefill",
    StallCause.PREEMPTION: "preempted, computed again (the KV cache was full)",
    StallCause.KV_WAIT: "waiting for KV blocks (preempted, the cache full)",
    StallCause.GARBAGE_COLLECTION: "garbage collection",
    StallCause.OVERHEAD: "the engine's own overhead",
    StallCause.DECODE: "the decode batch alone",
    StallCause.BUBBLE: "pipeline bubbles (uneven batches wait for each other)",
    StallCause.ENGINE_PAUSE: "the engine was stopped",
    StallCause.RESTART: "another engine had to start",
    StallCause.EVENT_LOOP: "the daemon was slow to pass it on",
    StallCause.DAEMON_PAUSE: "the daemon was stopped",
    StallCause.SLOW_READER: "its client read too slowly",
    StallCause.UNEXPLAINED: "unexplained",
}
_LEAST_PART_S = 0.0005
_PREDICTED = (StallCause.PREFILL, StallCause.DECODE, StallCause.BUBBLE)


def stall_sentence(stall: StallEvent) -> str:
    """Return `"17 +3 more stalled 412 ms <- 2007-token prefill of 31 (to 2007 of 7211)"`, with an arrow."""
    return f"{victims(stall)} stalled {units.duration(stall.worst_gap_s)} ← {cause(stall)}"


def stall_in_full(stall: StallEvent) -> str:
    """Return the sentence and, where a budget would have prevented the stall, which."""
    return "; ".join((stall_sentence(stall), *prevention(stall)))


def parts_in_words(stall: StallEvent) -> str:
    """Return the known parts of the longest gap, longest first, and what they leave: `"750 ms prefill + ..."`."""
    known = {cause: seconds for cause, seconds in stall.parts.items() if cause is not StallCause.UNEXPLAINED}
    told = [part for part in sorted(known.items(), key=lambda part: -part[1]) if part[1] >= _LEAST_PART_S]
    rest = (StallCause.UNEXPLAINED, max(0.0, stall.worst_gap_s - sum(known.values())))
    return " + ".join(f"{units.duration(seconds)} {cause_name(cause)}" for cause, seconds in (*told, rest))


def prevention(stall: StallEvent) -> Iterator[str]:
    """Yield `"a budget of 384 would have prevented it"`, nothing where none would have."""
    if stall.preventing_budget is not None:
        yield f"a budget of {stall.preventing_budget} would have prevented it"


def victims(stall: StallEvent) -> str:
    """Return `"17 +3 more"`: the request that waited longest, and how many others waited too."""
    num_others = len(stall.victims) - 1
    return f"{stall.victims[0].request_id} +{num_others} more" if num_others else str(stall.victims[0].request_id)


def cause(stall: StallEvent, *, is_terse: bool = False) -> str:
    """Return what the worst gap is mostly made of; a prefill with its length and whose it is."""
    chunk = stall.chunk
    if stall.cause is not StallCause.PREFILL or chunk is None:
        return short_cause_name(stall.cause) if is_terse else cause_name(stall.cause)
    if is_terse:
        return f"{chunk.length}-tok prefill of {chunk.request_id} ({chunk.start + chunk.length}/{chunk.num_tokens})"
    return f"{chunk.length}-token prefill of {chunk.request_id} ({progress(chunk)})"


def end_in_words(ended: RequestStats) -> str:
    """Return how a request ended and how it fared: `"17 ended by length: 188 tokens, the first after 180 ms, ..."`."""
    words = [units.tokens(ended.num_output_tokens)]
    if ended.ttft_s is not None:
        words.append(f"the first after {units.duration(ended.ttft_s)}")
    if ended.tbt_max_s is not None:
        words.append(f"gaps up to {units.duration(ended.tbt_max_s)}")
    words.append(units.number_of("stall", ended.num_stalls) if ended.num_stalls else "no stall")
    return f"{ended.request_id} ended by {ended.finish_reason}: {', '.join(words)}"


def running_words(running: IterationScheduled) -> str:
    """Return what an iteration runs: `"8 decode + 2000 prefill of 31"`."""
    parts = [f"{running.num_decode_tokens} decode"] if running.num_decode_tokens else []
    return " + ".join([*parts, *(f"{chunk.length} prefill of {chunk.request_id}" for chunk in running.chunks)])


def cause_name(kind: StallCause) -> str:
    """Return one cause in words."""
    return _CAUSES[kind]


def short_cause_name(kind: StallCause) -> str:
    """Return one cause without what is said of it in brackets."""
    return cause_name(kind).split(" (")[0]


def origin(stall: StallEvent, kind: StallCause) -> str:
    """Return where the seconds of a cause come from; a prediction tells prefill from what else was computed."""
    if kind is StallCause.UNEXPLAINED:
        return "remainder"
    return "model" if kind in _PREDICTED and StallCause.PREFILL in stall.parts else "measured"


def progress(chunk: ChunkStats) -> str:
    """Return how far a prompt was after a chunk: `"whole prompt"`, `"to 2007 of 7211"`."""
    if chunk.length == chunk.num_tokens:
        return "whole prompt"
    return f"to {chunk.start + chunk.length} of {chunk.num_tokens}"
