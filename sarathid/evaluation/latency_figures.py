"""Figure 1 and table 4: what schedulers do to latency at a given load."""

from sarathid.costmodel.library import find_profile
from sarathid.evaluation.figure import Figure, Scope, no_jobs
from sarathid.evaluation.jobs import SEED, Job, Results, Served, SimulationJob
from sarathid.evaluation.row import Curve, FigureResult, Row
from sarathid.evaluation.setups import MAX_MODEL_LEN, PREFILL_FIRST, STALL_FREE, YI
from sarathid.protocol.step import StepOutput
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate
from sarathid.workload import PlannedRequest
from sarathid.workload_catalog import load_requests

_NUM_REQUESTS = 128  # of the artifact, for both

_TABLE4_RATES = {"sharegpt4": 1.0, "arxiv": 0.5}
# Seconds of (P50 TTFT, P99 TBT).
_TABLE4 = {
    ("hybrid-only", "sharegpt4"): (0.53, 0.68),
    ("hybrid-only", "arxiv"): (3.78, 1.38),
    ("chunked-only", "sharegpt4"): (1.04, 0.17),
    ("chunked-only", "arxiv"): (5.38, 0.20),
    (STALL_FREE, "sharegpt4"): (0.76, 0.14),
    (STALL_FREE, "arxiv"): (3.90, 0.17),
}


def _table4_job(policy: str, workload: str) -> SimulationJob:
    return SimulationJob(Served.by(YI, policy, 512, workload, _NUM_REQUESTS), _TABLE4_RATES[workload])


def _table4_jobs(_scope: Scope) -> tuple[Job, ...]:
    return tuple(_table4_job(*cell) for cell in _TABLE4)


def _table4(_scope: Scope, results: Results) -> FigureResult:
    rows = []
    for (policy, workload), papers in _TABLE4.items():
        found = results.report(_table4_job(policy, workload))
        for unit, ours, paper in zip(
            ("s, P50 TTFT", "s, P99 TBT"), (found.ttft_s.p50, found.tbt_s.p99), papers, strict=True
        ):
            rows.append(
                Row(
                    figure="table4",
                    model=YI.model,
                    workload=workload,
                    slo=f"{_TABLE4_RATES[workload]} requests/s",
                    system=policy,
                    baseline=None,
                    ours=ours,
                    paper=paper,
                    unit=unit,
                    num_requests=found.num_requests,
                )
            )
    return FigureResult(
        name="table4",
        title="Table 4: what chunks and mixed batches each contribute",
        notes="Budget 512, as the artifact runs it; the paper's text says 1024.",
        rows=tuple(rows),
    )


# Seconds of P99 TBT by (system, rate), read off the artifact's picture, which runs sharegpt4.
_FIG1B = {
    (PREFILL_FIRST, 0.55): 1.39,
    (PREFILL_FIRST, 1.0): 2.05,
    (STALL_FREE, 0.55): 0.52,
    (STALL_FREE, 1.0): 0.54,
}
_FIG1_BUDGET = 1536
# Seconds until the last token, read off the artifact's picture.
_FIG1A_DURATIONS_S = {PREFILL_FIRST: 565.0, STALL_FREE: 505.0}


def _fig1b_job(policy: str, rate_per_s: float) -> SimulationJob:
    return SimulationJob(Served.by(YI, policy, _FIG1_BUDGET, "sharegpt4", _NUM_REQUESTS), rate_per_s)


def _fig1b_jobs(_scope: Scope) -> tuple[Job, ...]:
    return tuple(_fig1b_job(*cell) for cell in _FIG1B)


def _fig1b(_scope: Scope, results: Results) -> FigureResult:
    rows = tuple(
        Row(
            figure="fig1b",
            model=YI.model,
            workload="sharegpt4",
            slo=f"{rate_per_s} requests/s",
            system=policy,
            baseline=None,
            ours=results.report(_fig1b_job(policy, rate_per_s)).tbt_s.p99,
            paper=paper,
            unit="s, P99 TBT",
            num_requests=_NUM_REQUESTS,
        )
        for (policy, rate_per_s), paper in _FIG1B.items()
    )
    return FigureResult(
        name="fig1b",
        title="Figure 1b: the tail of TBT against load",
        notes="Budget 1536. The paper's values are read off the artifact's picture.",
        rows=rows,
    )


def _fig1a(_scope: Scope, _results: Results) -> FigureResult:
    curves, rows = [], []
    for policy, paper_s in _FIG1A_DURATIONS_S.items():
        times_s, longest_s = _token_times(policy)
        curves.append(Curve(policy, _thinned(times_s)))
        for unit, ours, paper in (("s, longest stall", longest_s, None), ("s, last token", times_s[-1], paper_s)):
            rows.append(
                Row(
                    figure="fig1a",
                    model=YI.model,
                    workload="arxiv",
                    slo="all at once",
                    system=policy,
                    baseline=None,
                    ours=ours,
                    paper=paper,
                    unit=unit,
                    num_requests=_NUM_REQUESTS,
                )
            )
    return FigureResult(
        name="fig1a",
        title="Figure 1a: tokens over time; a plateau is a generation stall",
        notes="128 requests that arrive at once, budget 1536. The paper sees stalls of several seconds for vLLM.",
        rows=tuple(rows),
        curves=tuple(curves),
        x_label="seconds",
        y_label="output tokens",
    )


def _token_times(policy: str) -> tuple[list[float], float]:
    """Return when each output token came, rising, and the longest TBT, both in seconds."""
    times_s: list[float] = []

    def note(output: StepOutput) -> None:
        if output.stats is not None:
            num_tokens = len(output.stats.gaps) + len(output.stats.first_tokens)
            times_s.extend([output.stats.end_s] * num_tokens)

    drawn = load_requests("arxiv", num_requests=_NUM_REQUESTS, seed=SEED)
    at_once = [PlannedRequest(0.0, request.num_prompt_tokens, request.num_output_tokens) for request in drawn.requests]
    serving = Serving(policy=policy, token_budget=_FIG1_BUDGET, max_num_seqs=256, max_model_len=MAX_MODEL_LEN["arxiv"])
    found = simulate(find_profile(YI.profile), serving, at_once, on_step=note)
    return times_s, found.tbt_s.max or 0.0


def _thinned(times_s: list[float], num_points: int = 400) -> tuple[tuple[float, float], ...]:
    stride = max(1, len(times_s) // num_points)
    return tuple((times_s[index], index + 1.0) for index in range(0, len(times_s), stride))


LATENCY_FIGURES = (
    Figure("table4", _table4_jobs, _table4),
    Figure("fig1a", no_jobs, _fig1a),
    Figure("fig1b", _fig1b_jobs, _fig1b),
)
