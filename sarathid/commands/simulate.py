"""`sarathid simulate`: what a workload would see on devices that are described by a cost profile."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import typer

from sarathid.commands import simulation
from sarathid.config import resolve_target_s
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.engine.core import EngineCore
from sarathid.errors import ConfigError, ControlRefused
from sarathid.executor.pace import read_pace
from sarathid.executor.simulated import isolated_decode_s
from sarathid.protocol.changes import Figures
from sarathid.protocol.requests import PrefillOrder
from sarathid.protocol.slo import OverloadMode
from sarathid.protocol.stats import EngineInfo, StreamRecord
from sarathid.protocol.step import StepOutput
from sarathid.request_list import RequestList
from sarathid.simulator.recording import SimulatedRecording
from sarathid.simulator.report import CSV_COLUMNS, SimulationReport, csv_row
from sarathid.simulator.simulator import simulate as run_simulation
from sarathid.simulator.step_records import StepRecords
from sarathid.simulator.timed_change import FORM, parse_timed_change
from sarathid.simulator.window import parse_window
from sarathid.trace.trace_writer import TraceWriter
from sarathid.workload import PlannedRequest

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def simulate(
    context: typer.Context,
    profile: Annotated[str | None, simulation.PROFILE] = None,
    workload: Annotated[str | None, simulation.WORKLOAD] = None,
    tape: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Replay what a recording's requests saw, and what under --budget, --policy, --slo-.."
        ),
    ] = None,
    policy: simulation.PolicyName = "stall-free",
    budget: simulation.TokenBudget = "512",
    rate: Annotated[float | None, typer.Option(metavar="X", help="Requests a second [1, or a file's own].")] = None,
    num_requests: simulation.NumRequests = None,
    scale: simulation.Scale = "1:1",
    burstiness: simulation.Burstiness = 1.0,
    seed: simulation.Seed = 0,
    slo_tbt: Annotated[
        str | None, typer.Option(metavar="TARGET", help="What a budget of auto or profiled follows, 100ms or 5x.")
    ] = None,
    slo_ttft: Annotated[
        str | None, typer.Option(metavar="TARGET", help="What a budget of auto minds of first tokens, 2s or 25x.")
    ] = None,
    max_num_seqs: simulation.MaxNumSeqs = 128,
    max_model_len: simulation.MaxModelLen = None,
    max_batched_tokens: simulation.MaxBatchedTokens = None,
    num_blocks: Annotated[
        int | None, typer.Option(metavar="N", help="Blocks of the KV cache [what the profile has memory for].")
    ] = None,
    block_size: Annotated[int, typer.Option(metavar="N", help="Tokens a block.")] = 16,
    watermark: Annotated[float, typer.Option(metavar="SHARE", help="Blocks kept free at admission.")] = 0.01,
    min_budget: Annotated[int, typer.Option(metavar="N", help="The least that a budget may come to.")] = 1,
    max_budget: Annotated[
        int | None, typer.Option(metavar="N", help="The most that a budget may come to [longest context].")
    ] = None,
    overload: Annotated[
        OverloadMode, typer.Option(help="New requests while decodes alone miss the target.")
    ] = OverloadMode.HOLD,
    prefill_order: Annotated[PrefillOrder, typer.Option(help="Whose prompt goes on first.")] = PrefillOrder.ARRIVAL,
    correction: Annotated[
        float, typer.Option(metavar="X", help="The devices take so many times their profile's time.")
    ] = 1.0,
    pace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Let times vary as they were seen to, drawn from --disturb.")
    ] = None,
    disturb: simulation.Disturb = None,
    then: Annotated[
        list[str] | None, typer.Option(metavar="CHANGE", help=f"Settings that change on the way: {FORM}.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(metavar="FROM:UNTIL", help="End there, and tell of this part alone, too: 60s:360s.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a row a request.")] = None,
    trace_file: Annotated[Path | None, typer.Option("--trace", metavar="FILE", help="Write a Perfetto trace.")] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a recording, for `sarathictl replay`.")
    ] = None,
    record_from: Annotated[
        float, typer.Option(metavar="SECONDS", help="When the recording begins, since the epoch.")
    ] = 0.0,
) -> None:
    """Simulate the engine on devices that a cost profile describes. Nothing is computed and no time passes."""
    if tape is not None:
        from sarathid.commands.taped_load import replay_tape  # deferred: what a daemon plans with, few want it here

        given = {name: context.params[name] for name in ("budget", "policy") if _is_given(context, name)}
        replay_tape(
            tape,
            profile=profile,
            budget=given.get("budget"),
            policy=given.get("policy"),
            slo_tbt=slo_tbt,
            slo_ttft=slo_ttft,
            record=record,
            as_json=as_json,
        )
        return
    if profile is None or workload is None:
        raise ConfigError("give --profile and --workload, or --tape")
    found, serving, requests = simulation.settle(
        profile=profile,
        policy=policy,
        budget=budget,
        workload=workload,
        num_requests=num_requests,
        scale=scale,
        burstiness=burstiness,
        seed=seed,
        max_num_seqs=max_num_seqs,
        max_model_len=max_model_len,
        max_batched_tokens=max_batched_tokens,
        disturb=disturb,
    )
    isolated_s = isolated_decode_s(IterationCostModel(found))
    serving = replace(
        serving,
        slo_tbt_s=None if slo_tbt is None else resolve_target_s(slo_tbt, isolated_s),
        slo_ttft_s=None if slo_ttft is None else resolve_target_s(slo_ttft, isolated_s),
        num_blocks=num_blocks,
        block_size=block_size,
        watermark=watermark,
        min_token_budget=min_budget,
        max_token_budget=max_budget,
        overload=overload,
        prefill_order=prefill_order,
        correction=correction,
        pace=None if pace is None else read_pace(pace),
    )
    serving.check_target()
    changes = [parse_timed_change(text) for text in then or ()]
    timed = _timed(requests, rate)
    with ExitStack() as files:
        writers = [] if csv_file is None else [_csv(csv_file, files)]

        def begin(core: EngineCore, engine: EngineInfo) -> None:
            if trace_file is not None:
                writers.append(_trace(trace_file, files, timed.requests, core, engine))
            if record is not None:
                writers.append(_recording(record, files, timed.requests, record_from, core, engine))

        try:
            report = run_simulation(
                found,
                serving,
                timed.requests,
                changes=changes,
                window=None if window is None else parse_window(window),
                on_start=begin,
                on_step=_to_all(writers),
            )
        except ControlRefused as refused:
            raise ConfigError(f"--then: {refused}") from refused
    typer.echo(msgspec.json.encode(report).decode() if as_json else "\n".join(_lines(report)))


def _timed(requests: RequestList, rate_per_s: float | None) -> RequestList:
    if rate_per_s is not None:
        return requests.at_rate(rate_per_s)
    if requests.rate_per_s is None:
        raise ConfigError("the workload's file has no times of its own; give --rate")
    return requests


def _csv(path: Path, files: ExitStack) -> Callable[[StepOutput], None]:
    writer = csv.writer(files.enter_context(_opened(path, "w", "utf-8")), lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    return lambda output: writer.writerows(csv_row(stats) for stats in output.finished)


def _trace(
    path: Path, files: ExitStack, requests: Sequence[PlannedRequest], core: EngineCore, engine: EngineInfo
) -> Callable[[StepOutput], None]:
    writer = TraceWriter(files.enter_context(_opened(path, "wb")))
    files.callback(writer.close)
    return _each_record(writer.add, StepRecords(requests, core, engine))


def _recording(
    path: Path,
    files: ExitStack,
    requests: Sequence[PlannedRequest],
    wall_start_s: float,
    core: EngineCore,
    engine: EngineInfo,
) -> Callable[[StepOutput], None]:
    file = files.enter_context(_opened(path, "wb"))
    recording = SimulatedRecording(file, wall_start_s, engine, lambda: core.settings)
    files.callback(recording.close)
    return _each_record(recording.add, StepRecords(requests, core, engine))


def _each_record(add: Callable[[StreamRecord], None], records: StepRecords) -> Callable[[StepOutput], None]:
    def write(output: StepOutput) -> None:
        for record in records.of(output):
            add(record)

    return write


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _opened(path: Path, mode: str, encoding: str | None = None) -> IO[Any]:
    try:
        return path.open(mode, encoding=encoding)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _to_all(writers: list[Callable[[StepOutput], None]]) -> Callable[[StepOutput], None]:
    def write(output: StepOutput) -> None:
        for writer in writers:
            writer(output)

    return write


def _lines(report: SimulationReport) -> Iterator[str]:
    yield f"{report.profile}, {report.policy}, budget {report.token_budget} (simulated)"
    yield f"{'':18}{'P50':>10}{'P90':>10}{'P99':>10}{'max':>10}"
    latencies = {"TTFT": report.ttft_s, "TBT": report.tbt_s, "scheduling delay": report.scheduling_delay_s}
    for name, latency in latencies.items():
        yield f"{name:18}" + "".join(f"{_time(seconds):>10}" for seconds in msgspec.structs.astuple(latency))
    yield f"{'finished':18}{report.num_finished} of {report.num_requests} requests in {report.makespan_s:.1f} s"
    yield f"{'throughput':18}{report.requests_per_s:.3f} requests/s, {report.output_tokens_per_s:.1f} tokens/s"
    yield f"{'preemptions':18}{report.num_preemptions}"
    yield f"{'bubbles':18}{report.bubble_s:.1f} s, {report.bubble_share:.1%} of the stages' time"
    if report.window is not None:
        yield from _window_lines(report.window)


def _window_lines(figures: Figures) -> Iterator[str]:
    yield f"{'in the window':18}TBT P50 {_time(figures.tbt_p50_s)}, P99 {_time(figures.tbt_p99_s)}"
    yield f"{'':18}TTFT P50 {_time(figures.ttft_p50_s)}, P99 {_time(figures.ttft_p99_s)}"
    stalls = "" if figures.num_stalls is None else f", {figures.num_stalls} stalls"
    yield f"{'':18}{figures.tokens_per_s:.1f} tokens/s{stalls} in {figures.window_s:.1f} s"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1.0 else f"{seconds * 1e3:.1f} ms"
