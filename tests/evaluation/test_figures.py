"""Figures ask for the simulations they need and read them right; the cost figures agree with the paper's claims."""

import json
import sys
from pathlib import Path

import msgspec
import pytest

from sarathid.cli import main
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.errors import ConfigError, SarathiError
from sarathid.evaluation.catalog import FIGURES, choose
from sarathid.evaluation.cost_figures import chunking_overhead
from sarathid.evaluation.figure import FULL, QUICK
from sarathid.evaluation.jobs import CapacityJob, Job, Results, Served, SimulationJob, merge, run_jobs
from sarathid.evaluation.setups import FALCON, MIXED_WHOLE, PREFILL_FIRST, SETUPS, STALL_FREE, YI
from sarathid.simulator.capacities import CapacityAnswer, FoundCapacity


def test_quick_keeps_the_headline_models_and_fewer_requests() -> None:
    jobs = [job for figure in choose([], is_quick=True) for job in figure.jobs(QUICK) if isinstance(job, CapacityJob)]

    assert {job.served.profile for job in jobs} == {
        "a100/mistral-7b-tp1",
        "a100/yi-34b-tp2",
        "a100/falcon-180b-tp4-pp2",
    }
    assert {job.served.num_requests for job in jobs} == {256}
    assert {job.served.policy for job in jobs} == {STALL_FREE, PREFILL_FIRST, MIXED_WHOLE}


def test_the_whole_grid_is_four_models_two_workloads_two_targets_and_three_systems() -> None:
    rows_of = {figure.name: figure for figure in FIGURES}
    jobs = {job for name in ("fig10", "fig11") for job in rows_of[name].jobs(FULL)}

    # A baseline's search serves both targets; the stall-free system has a budget for each.
    assert len(jobs) == 4 * 2 * (2 + 1 + 1)


def test_a_policy_that_reserves_whole_contexts_gets_few_sequences() -> None:
    served = Served.by(FALCON, MIXED_WHOLE, 512, "sharegpt4", 10)
    options = dict(zip(served.arguments[::2], served.arguments[1::2], strict=True))

    assert options["--max-num-seqs"] == "8"
    assert options["--max-batched-tokens"] == str(8 * 8192)


def test_searches_that_differ_in_their_targets_alone_are_one() -> None:
    served = Served.by(YI, PREFILL_FIRST, 512, "sharegpt4", 16)
    other = Served.by(FALCON, PREFILL_FIRST, 512, "sharegpt4", 16)
    run = SimulationJob(served, 1.0)
    jobs: list[Job] = [
        CapacityJob(served, (1.0,)),
        run,
        CapacityJob(other, (1.0,)),
        CapacityJob(served, (0.2, 1.0)),
        run,
    ]

    assert merge(jobs) == (CapacityJob(served, (0.2, 1.0)), run, CapacityJob(other, (1.0,)))


def test_a_merged_search_answers_each_of_those_who_asked() -> None:
    served = Served.by(YI, STALL_FREE, 512, "sharegpt4", 16)
    strict, both = CapacityJob(served, (0.2,)), CapacityJob(served, (1.0, 0.2))
    results = run_jobs([strict, both], lambda _: None)

    assert results.capacity(strict, 0.2) == results.capacity(both, 0.2)
    assert (results.capacity(both, 0.2).slo_tbt_s, results.capacity(both, 1.0).slo_tbt_s) == (0.2, 1.0)


def test_a_search_runs_as_a_child_and_is_read_back() -> None:
    served = Served.by(YI, STALL_FREE, 512, "sharegpt4", 16)
    job = CapacityJob(served, (0.2, 1.0))
    done: list[str] = []
    found = run_jobs([job, job], done.append).capacity(job, 1.0)

    assert found.slo_tbt_s == 1.0
    assert found.rate_per_s is not None and found.at_capacity is not None
    assert len(done) == 1


def test_a_child_that_fails_is_told_with_its_last_words() -> None:
    served = Served.by(YI, "best", 512, "sharegpt4", 16)

    with pytest.raises(SarathiError, match="ended with 2: sarathid: there is no policy 'best'"):
        run_jobs([CapacityJob(served, (0.2,))], lambda _: None)


def test_an_unknown_figure_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no figure 'fig99'; choose of fig10, .*bubble"):
        choose(["fig99"], is_quick=False)


def test_chunks_of_512_cost_at_most_a_quarter_and_of_2048_next_to_nothing() -> None:
    cost = IterationCostModel(find_profile(YI.profile))

    assert chunking_overhead(cost, 2048, 512) <= 0.25
    assert chunking_overhead(cost, 4096, 512) <= 0.25
    assert chunking_overhead(cost, 4096, 2048) <= 0.05


def answer_of(job: Job, rate_per_s: float) -> bytes:
    """Return what a search prints that found one rate, under one target."""
    assert isinstance(job, CapacityJob)
    (target_s,) = job.targets_s
    found = FoundCapacity(
        slo_tbt_s=target_s, scheduling_delay_s=2.0, rate_per_s=rate_per_s, lowest_failing_per_s=9.0, trials=()
    )
    served = job.served
    return msgspec.json.encode(
        CapacityAnswer(
            profile=served.profile,
            policy=served.policy,
            token_budget=served.budget,
            workload=served.workload,
            num_requests=served.num_requests,
            capacities=(found,),
        )
    )


def test_the_gain_of_more_sequences_stands_beside_the_cache_that_each_has() -> None:
    figure = next(figure for figure in FIGURES if figure.name == "sequences")
    outputs = {job: answer_of(job, 1.5 if job.served.max_num_seqs == 256 else 1.0) for job in figure.jobs(QUICK)}
    rows = figure.result(QUICK, Results(outputs)).rows
    tokens = {row.system: row.ours for row in rows if row.model == YI.model and row.unit.startswith("tokens")}
    gains = {row.model: row.ours for row in rows if row.baseline == "stall-free, 128 sequences"}

    assert gains == {setup.model: 1.5 for setup in SETUPS}
    assert tokens == {"stall-free, 128 sequences": 328048 / 128, "stall-free, 256 sequences": 328048 / 256}


def test_the_tail_of_tbt_stays_flat_without_stalls_alone() -> None:
    figure = next(figure for figure in FIGURES if figure.name == "fig1b")
    rows = figure.result(QUICK, Results({})).rows
    p99_s = {(row.system, row.slo): row.ours for row in rows if row.unit == "s, P99 TBT"}
    stalled, smooth = (
        [p99_s[system, f"{rate} requests/s"] or 0.0 for rate in (0.55, 1.0)] for system in (PREFILL_FIRST, STALL_FREE)
    )

    assert stalled[1] > 2.0 * stalled[0]
    assert smooth[1] < 1.1 * smooth[0]


def test_reproduce_writes_rows_beside_the_papers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["sarathid", "reproduce", "--quick", "--only", "bubble", "--out", str(out)])
    main_without_exit()
    rows = {row["system"]: row for row in json.loads((out / "summary.json").read_text())["rows"]}

    assert rows["bubble between the two"]["ours"] == pytest.approx(0.95, rel=0.5)
    assert rows["bubble between the two"]["paper"] == 0.95
    assert (out / "REPORT.md").is_file()
    assert "Pipeline bubble" in capsys.readouterr().out


def main_without_exit() -> None:
    try:
        main()
    except SystemExit as ended:
        assert not ended.code
