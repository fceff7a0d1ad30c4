"""A simulated run is the real core's: every request finishes, times are the profile's, the same input repeats."""

import itertools

import pytest

from sarathid.capacity import Objective
from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.errors import ConfigError
from sarathid.executor.pace import Pace, RegimePace
from sarathid.protocol.slo import SLO, BudgetMode
from sarathid.protocol.stats import EngineSettings, IterationStats
from sarathid.protocol.step import StepOutput
from sarathid.request_list import RequestList
from sarathid.scheduler.policies.registry import POLICIES
from sarathid.simulator.report import Latency
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate
from sarathid.simulator.timed_change import form_of, parse_timed_change
from sarathid.simulator.window import Window, parse_window
from sarathid.workload import PlannedRequest
from sarathid.workload_catalog import load_requests

YI = find_profile("a100/yi-34b-tp2")
FALCON = find_profile("a100/falcon-180b-tp4-pp2")


def chats(num_requests: int = 24, rate_per_s: float = 1.0) -> RequestList:
    return load_requests("sharegpt4", num_requests=num_requests, seed=3).at_rate(rate_per_s)


def test_one_request_takes_what_the_profile_says() -> None:
    result = simulate(YI, Serving(token_budget=512), [PlannedRequest(5.0, 600, 3)])
    cost = IterationCostModel(YI)
    chunks_s = [cost.prefill_s(512), cost.prefill_s(88, 512)]
    decodes_s = [cost.predict(IterationFeatures(1, context)) for context in (601, 602)]

    assert result.ttft_s.max == pytest.approx(sum(chunks_s))
    assert result.scheduling_delay_s.max == 0.0
    assert result.tbt_s.max == pytest.approx(max(decodes_s))
    assert result.makespan_s == pytest.approx(sum(chunks_s) + sum(decodes_s))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("profile", [YI, FALCON], ids=lambda profile: str(profile.name))
def test_every_policy_finishes_every_request(policy: str, profile: object) -> None:
    requests = chats().requests
    result = simulate(YI if profile is YI else FALCON, Serving(policy=policy), requests)

    assert (result.num_finished, result.num_failed, result.is_complete) == (24, 0, True)
    assert result.num_output_tokens == sum(request.num_output_tokens for request in requests)
    assert result.num_prefill_tokens == sum(request.num_prompt_tokens for request in requests)


def test_the_same_input_gives_the_same_report() -> None:
    first, again = (simulate(FALCON, Serving(), chats().requests) for _ in range(2))

    assert first == again


def test_stages_work_on_two_batches_at_once() -> None:
    iterations: list[IterationStats] = []

    def note(output: StepOutput) -> None:
        if output.stats is not None:
            iterations.append(output.stats)

    result = simulate(FALCON, Serving(), chats(rate_per_s=4.0).requests, on_step=note)

    overlaps = [later.start_s < earlier.end_s for earlier, later in itertools.pairwise(iterations)]
    assert sum(overlaps) > len(overlaps) / 2
    assert 0.0 < result.bubble_share < 0.5
    assert max(stats.num_decode_tokens + stats.num_prefill_tokens for stats in iterations) <= 512


def test_the_record_of_an_iteration_tells_what_each_stage_did() -> None:
    iterations: list[IterationStats] = []

    def note(output: StepOutput) -> None:
        if output.stats is not None:
            iterations.append(output.stats)

    result = simulate(FALCON, Serving(), chats(32, rate_per_s=4.0).requests, on_step=note)

    for stage, records in enumerate(zip(*(stats.stages for stats in iterations), strict=True)):
        for earlier, later in itertools.pairwise(records):
            assert later.bubble_s <= later.start_s - earlier.start_s - earlier.busy_s + 1e-9
        assert sum(record.bubble_s for record in records) > 0.0, f"stage {stage} never waited"
    assert sum(record.bubble_s for stats in iterations for record in stats.stages) == pytest.approx(result.bubble_s)


def test_a_request_joins_a_pipeline_that_is_not_full_without_waiting_for_the_batch_before() -> None:
    requests = [PlannedRequest(0.0, 512, 2), PlannedRequest(0.01, 512, 2)]

    assert simulate(FALCON, Serving(), requests).scheduling_delay_s.max == 0.0


def test_whole_prompts_leave_longer_bubbles_than_chunks() -> None:
    requests = chats(48, rate_per_s=1.0).requests
    whole, chunked = (simulate(FALCON, Serving(policy=policy), requests) for policy in ("prefill-first", "stall-free"))

    assert whole.bubble_share > chunked.bubble_share


def test_a_hopeless_run_stops_and_knows_lower_bounds() -> None:
    requests = chats(200, rate_per_s=20.0).requests
    stopped = simulate(YI, Serving(), requests, give_up_on=Objective(1.0))
    whole = simulate(YI, Serving(), requests)

    assert not stopped.is_complete
    assert stopped.num_failed > 0
    assert whole.is_complete
    for lower, exact in ((stopped.tbt_s, whole.tbt_s), (stopped.scheduling_delay_s, whole.scheduling_delay_s)):
        assert lower.p50 is not None and lower.p99 is not None
        assert exact.p50 is not None and exact.p99 is not None
        assert (lower.p50, lower.p99) <= (exact.p50, exact.p99)
    assert stopped.scheduling_delay_p50_s is not None and stopped.scheduling_delay_p50_s > 2.0


def test_a_run_that_can_still_hold_is_not_stopped() -> None:
    assert simulate(YI, Serving(), chats().requests, give_up_on=Objective(1.0)).is_complete


def test_a_request_that_never_fits_failed_and_has_no_latency() -> None:
    requests = [PlannedRequest(0.0, 100, 5), PlannedRequest(1.0, 9000, 5), PlannedRequest(2.0, 100, 5)]
    result = simulate(YI, Serving(max_model_len=8192), requests)

    assert (result.num_finished, result.num_failed, result.is_complete) == (2, 1, True)
    assert result.scheduling_delay_s.max == 0.0


def test_a_stalled_decode_shows_in_the_tail() -> None:
    requests = [PlannedRequest(0.0, 100, 200), PlannedRequest(2.0, 8000, 5)]
    stalled, free = (simulate(YI, Serving(policy=policy), requests) for policy in ("prefill-first", "stall-free"))
    whole_prompt_s = IterationCostModel(YI).predict(IterationFeatures(0, 0, (ChunkShape(8000, 0),)))

    assert stalled.tbt_s.max is not None and stalled.tbt_s.max > whole_prompt_s
    assert free.tbt_s.max is not None and free.tbt_s.max < 0.2


def test_a_corrected_device_takes_that_many_times_as_long_and_the_engine_knows() -> None:
    requests = [PlannedRequest(0.0, 600, 30)]
    seen: list[IterationStats] = []
    plain, slow = (simulate(YI, Serving(correction=correction), requests) for correction in (1.0, 1.5))
    simulate(YI, Serving(correction=1.5), requests, on_step=lambda step: seen.extend(filter(None, [step.stats])))

    assert slow.makespan_s == pytest.approx(1.5 * plain.makespan_s)
    assert [stats.predicted_s for stats in seen] == pytest.approx([stats.execute_s for stats in seen])


def test_times_vary_as_they_were_seen_to() -> None:
    pace = Pace(regimes=(RegimePace(has_decodes=True, size_class=0, factors=(2.0, 3.0)),))
    gaps_s: list[float] = []

    def note(output: StepOutput) -> None:
        gaps_s.extend(gap.tbt_s for gap in output.stats.gaps if output.stats is not None)  # type: ignore[union-attr]

    first, again = (simulate(YI, Serving(pace=pace), [PlannedRequest(0.0, 1, 40)], on_step=note) for _ in range(2))
    plain_s = IterationCostModel(YI).predict(IterationFeatures(1, 20))

    assert first == again
    assert {round(gap_s / plain_s) for gap_s in gaps_s} == {2, 3}


def test_a_window_tells_of_its_iterations_alone_and_ends_the_run() -> None:
    requests = chats(num_requests=48).requests
    tokens_s: list[float] = []

    def note(output: StepOutput) -> None:
        if output.stats is not None:
            tokens_s.extend([output.stats.end_s] * (len(output.stats.gaps) + len(output.stats.first_tokens)))

    result = simulate(YI, Serving(slo_tbt_s=0.1), requests, window=Window(10.0, 30.0), on_step=note)

    assert result.window is not None
    assert result.window.tokens_per_s == sum(10.0 < time_s <= 30.0 for time_s in tokens_s) / 20.0
    assert result.window.num_stalls is not None
    assert 30.0 <= max(tokens_s) < 31.0
    assert not result.is_complete
    assert simulate(YI, Serving(), requests[:1]).window is None


def test_settings_change_on_the_way() -> None:
    seen: list[tuple[float, int, str]] = []

    def note(output: StepOutput) -> None:
        if output.stats is not None:
            seen.append((output.stats.start_s, output.stats.token_budget, output.stats.policy))

    changes = [parse_timed_change("5s:budget=256,slo-tbt=off"), parse_timed_change("10s:policy=prefill-first")]
    simulate(YI, Serving(), chats().requests, changes=changes, on_step=note)

    assert all((budget == 256) == (start_s >= 5.0) for start_s, budget, _ in seen)
    assert all((policy == "prefill-first") == (start_s >= 10.0) for start_s, _, policy in seen)


def test_a_change_reads_back_what_settings_are_written_as() -> None:
    settings = EngineSettings(
        revision=3, token_budget=96, policy="stall-free", slo=SLO(tbt_s=0.08), budget_mode=BudgetMode.ADAPTIVE
    )
    read = parse_timed_change(form_of(1.5, settings))

    assert read.at_s == 1.5
    assert (read.change.budget, read.change.policy, read.change.slo) == ("auto", "stall-free", SLO(tbt_s=0.08))


def test_few_blocks_make_requests_wait() -> None:
    requests = [PlannedRequest(0.0, 1000, 50), PlannedRequest(0.0, 1000, 50)]
    wide, narrow = (
        simulate(YI, Serving(max_model_len=1100, num_blocks=num_blocks), requests) for num_blocks in (None, 80)
    )

    assert wide.ttft_s.max is not None and narrow.ttft_s.max is not None
    assert narrow.ttft_s.max > 2 * wide.ttft_s.max


@pytest.mark.parametrize("text", ["5s", "5s:tempo=3", "5s:budget=much", "5s:policy=best", ":budget=5", "0s:budget=5"])
def test_a_change_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_timed_change(text)


@pytest.mark.parametrize(("text", "window"), [("60s:360s", Window(60.0, 360.0)), (":5m", Window(0.0, 300.0))])
def test_a_window_is_written_as_its_two_ends(text: str, window: Window) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize("text", ["60s", "60s:60s", "60s:30s", "a:b"])
def test_a_window_without_time_in_it_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_window(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"token_budget": 0}, "token budget of 0"),
        ({"policy": "best"}, "no policy 'best'"),
        ({"max_num_seqs": 5000}, "sequences of 5000"),
        ({"num_blocks": 0}, "blocks of 0"),
        ({"watermark": 0.9}, "watermark of 0.9"),
        ({"correction": 0.0}, "correction of 0.0"),
        ({"token_budget": 512, "max_token_budget": 256}, "budget of 512 is outside 1 to 256"),
        ({"max_model_len": 1 << 20}, "does not fit: the KV cache of a100/yi-34b-tp2 holds"),
    ],
)
def test_what_can_never_be_is_told_before_it_runs(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        simulate(YI, Serving(**change), chats().requests)  # type: ignore[arg-type]


def test_percentiles_are_samples_by_nearest_rank() -> None:
    assert Latency.of([4.0, 1.0, 3.0, 2.0]) == Latency(p50=2.0, p90=4.0, p99=4.0, max=4.0)
    assert Latency.of([4.0, 1.0], num_missing=2) == Latency(p50=0.0, p90=4.0, p99=4.0, max=4.0)
    assert Latency.of([]) == Latency(p50=None, p90=None, p99=None, max=None)
