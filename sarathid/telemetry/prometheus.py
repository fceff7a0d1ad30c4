"""What the daemon counts, as families of metrics; those that vLLM has too have vLLM's names under our prefix."""

from collections import Counter
from collections.abc import Iterator, Mapping

from sarathid.histogram import EXPOSED_BOUNDS_S
from sarathid.protocol.control import OwnerStatus, PredictionError, Status
from sarathid.protocol.stats import BudgetPlan, EngineSettings
from sarathid.telemetry.board import Board
from sarathid.telemetry.burn_rate import OBJECTIVES
from sarathid.telemetry.exposition import Family, Kind, Sample, counter, counters, gauge, gauges, histogram
from sarathid.telemetry.owner_tally import OTHERS
from sarathid.telemetry.refusals import Refusals

TOKEN_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
_LONG_BOUNDS_S = (*EXPOSED_BOUNDS_S, 60.0, 120.0, 300.0, 600.0, 1800.0)


def metric_families(
    board: Board,
    status: Status,
    owners: Mapping[str, OwnerStatus],
    refusals: Refusals,
    num_dropped_records: int,
) -> Iterator[Family]:
    """Yield everything that the daemon counts; gauges are those of `status` and of the `owners` that have requests."""
    yield from _of_iterations(board)
    yield from _of_requests(board)
    yield from _of_state(status)
    yield from _of_settings(board, status.settings)
    yield from _of_plan(None if board.last is None else board.last.plan)
    yield _prediction_error(status.prediction_error)
    yield from _of_objectives(board, status.time_s)
    yield from _of_stages(board)
    yield from _of_owners(board, owners)
    words = "Requests refused for want of room."
    yield counters("sarathid_refused_requests", words, "cause", refusals.num_by_cause)
    words = "Time from the first byte of a request that was refused for want of room to its reply."
    yield histogram("sarathid_refusal_seconds", words, refusals.seconds, EXPOSED_BOUNDS_S)
    yield counter("sarathid_dropped_records", "Records that a subscriber lost.", num_dropped_records)


def _of_iterations(board: Board) -> Iterator[Family]:
    for name, words, seconds in (
        ("sarathid_iteration_seconds", "Duration of an iteration.", board.iteration_seconds),
        ("sarathid_inter_token_latency_seconds", "Time between two tokens of one request.", board.tbt_seconds),
        ("sarathid_time_to_first_token_seconds", "Time from arrival to first token.", board.ttft_seconds),
    ):
        yield histogram(name, words, seconds, EXPOSED_BOUNDS_S)
    words = "Tokens of an iteration, prefill and decode."
    yield histogram("sarathid_iteration_tokens", words, board.iteration_tokens, TOKEN_BOUNDS)
    yield counter("sarathid_iterations", "Iterations run.", board.num_iterations)
    yield counter("sarathid_generation_tokens", "Tokens generated.", board.num_output_tokens)
    yield counter("sarathid_prefill_tokens", "Prompt tokens computed, again too.", board.num_prefill_tokens)
    yield counter("sarathid_prefix_cache_queries", "Prompt tokens looked up.", board.num_queried_tokens)
    yield counter("sarathid_prefix_cache_hits", "Prompt tokens that were there.", board.num_cached_tokens)
    yield counter("sarathid_num_preemptions", "Requests preempted.", board.num_preemptions)
    yield counters("sarathid_stalls", "Times between tokens above the target.", "cause", board.num_stalls)
    words = "Iterations by what kept them from more prefill tokens."
    yield counters("sarathid_iterations_by_bound", words, "bound", board.num_by_bound)
    words = "Time that predicted iterations were expected to take."
    yield counter("sarathid_iteration_predicted_seconds", words, board.predicted_s)
    yield counter("sarathid_iteration_real_seconds", "Time that the same iterations took.", board.real_s)


def _of_requests(board: Board) -> Iterator[Family]:
    figures = board.requests
    yield counters("sarathid_requests", "Requests ended.", "finish_reason", board.num_finished)
    yield counter("sarathid_prompt_tokens", "Prompt tokens of requests that ended.", int(figures.prompt_tokens.sum_s))
    for name, words, seconds in (
        ("sarathid_e2e_request_latency_seconds", "Time from arrival to last token.", figures.e2e_latency),
        ("sarathid_request_queue_time_seconds", "Time from arrival to first chunk.", figures.queue_time),
        ("sarathid_request_prefill_time_seconds", "Time from first chunk to first token.", figures.prefill_time),
        ("sarathid_request_decode_time_seconds", "Time from first token to last.", figures.decode_time),
        ("sarathid_request_inference_time_seconds", "Time from first chunk to last token.", figures.inference_time),
    ):
        yield histogram(name, words, seconds, _LONG_BOUNDS_S)
    for name, words, tokens in (
        ("sarathid_request_prompt_tokens", "Tokens of a prompt.", figures.prompt_tokens),
        ("sarathid_request_generation_tokens", "Tokens of an answer.", figures.generation_tokens),
    ):
        yield histogram(name, words, tokens, TOKEN_BOUNDS)


def _of_state(status: Status) -> Iterator[Family]:
    num_blocks = status.num_blocks_used + status.num_blocks_free
    yield gauge("sarathid_num_requests_running", "Requests that hold blocks.", status.num_running)
    words = "Requests that hold none, preempted ones included."
    yield gauge("sarathid_num_requests_waiting", words, status.num_waiting)
    yield gauge("sarathid_num_requests_preempted", "Requests that wait to be resumed.", status.num_preempted)
    yield gauge("sarathid_kv_blocks_used", "KV cache blocks in use.", status.num_blocks_used)
    yield gauge("sarathid_kv_blocks_free", "KV cache blocks free.", status.num_blocks_free)
    share = status.num_blocks_used / num_blocks if num_blocks else 0.0
    yield gauge("sarathid_kv_cache_usage_perc", "Share of the KV cache blocks in use; 1 is all.", share)
    yield gauge("sarathid_overloaded", "1 while the decodes alone miss the target.", int(status.is_overloaded))
    yield counter("sarathid_engine_restarts", "Engine processes started again.", status.num_engine_restarts)
    yield gauges("sarathid_state", "1 for the daemon's state.", [((("state", status.state),), 1)])
    engine = status.engine
    if engine is not None:
        sizes = (("block_size", str(engine.block_size)), ("num_gpu_blocks", str(engine.num_blocks)))
        yield gauges("sarathid_cache_config_info", "The KV cache's blocks.", [(sizes, 1)])
        kind = (("model", engine.model), ("device", engine.device), ("layout", engine.layout))
        yield gauges("sarathid_engine_info", "What runs, and where.", [(kind, 1)])


def _of_settings(board: Board, settings: EngineSettings | None) -> Iterator[Family]:
    if settings is None:
        return
    budget = settings.token_budget if board.last is None else board.last.token_budget
    yield gauge("sarathid_token_budget", "Tokens that the latest iteration might have.", budget)
    yield gauge("sarathid_slo_tbt_seconds", "Target for the time between tokens.", settings.slo.tbt_s)
    yield gauge("sarathid_slo_ttft_seconds", "Target for the time to first token.", settings.slo.ttft_s)
    chosen = (("policy", settings.policy), ("budget_mode", settings.budget_mode))
    yield gauges("sarathid_settings_revision", "The revision in force.", [(chosen, settings.revision)])


def _of_plan(plan: BudgetPlan | None) -> Iterator[Family]:
    if plan is None:
        return
    yield gauge("sarathid_budget_headroom_ratio", "Share of the target that is planned for.", plan.headroom)
    words = "What the cost model's prediction is multiplied by."
    yield gauge("sarathid_prediction_correction_ratio", words, plan.correction)


def _prediction_error(error: PredictionError) -> Family:
    found = [
        ((("percentile", percentile),), value)  # a quantile is a summary's
        for percentile, value in (("50", error.p50), ("95", error.p95))
        if value is not None
    ]
    words = "Error of the predicted time of an iteration, of the last minute."
    return gauges("sarathid_prediction_error_ratio", words, found)


def _of_objectives(board: Board, now_s: float) -> Iterator[Family]:
    burn = board.burn_rates
    yield counters("sarathid_slo_events", "Times that have a target.", "slo", burn.num_events)
    yield counters("sarathid_slo_misses", "Times above their target.", "slo", burn.num_misses)
    objectives = [((("slo", name),), share) for name, share in OBJECTIVES.items()]
    yield gauges("sarathid_slo_objective_ratio", "Share of times that is to be within the target.", objectives)
    rates = [
        ((("slo", name), ("window", window)), rate)
        for name in OBJECTIVES
        for window, rate in burn.rates(name, now_s).items()
    ]
    yield gauges("sarathid_slo_burn_rate", "Share of misses over the share that is allowed.", rates)


def _of_stages(board: Board) -> Iterator[Family]:
    for name, words, seconds in (
        ("sarathid_stage_busy_seconds", "Time that a pipeline stage computed.", board.stage_busy_s),
        ("sarathid_stage_bubble_seconds", "Time that it was idle while there was work.", board.stage_bubble_s),
    ):
        yield counters(name, words, "stage", {str(stage): value for stage, value in seconds.items()})


def _of_owners(board: Board, owners: Mapping[str, OwnerStatus]) -> Iterator[Family]:
    tally = board.owners
    samples = [
        Sample(count, (("owner", owner), ("kind", kind)), "_total")
        for kind, counts in (("prefill", tally.num_prefill_tokens), ("output", tally.num_output_tokens))
        for owner, count in counts.items()
    ]
    yield Family("sarathid_owner_tokens", Kind.COUNTER, "Tokens computed for a user or a key.", tuple(samples))
    num_requests: Counter[tuple[str, str]] = Counter()
    deficits: Counter[str] = Counter()
    for owner, status in owners.items():
        name = owner if owner in tally.num_prefill_tokens else OTHERS
        num_requests[name, "running"] += status.num_running
        num_requests[name, "waiting"] += status.num_waiting
        deficits[name] = max(deficits[name], status.deficit)
    held = [((("owner", owner), ("state", state)), count) for (owner, state), count in num_requests.items()]
    yield gauges("sarathid_owner_requests", "Requests of a user or a key.", held)
    owed = [((("owner", owner),), deficit) for owner, deficit in deficits.items()]
    yield gauges("sarathid_owner_deficit_tokens", "Tokens that an owner who waits is owed.", owed)
