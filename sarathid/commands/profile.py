"""`sarathid profile`: measure what iterations cost with this model on this machine, and keep it as a cost profile."""

import os
import random
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from sarathid.clock import MonotonicClock
from sarathid.commands.measured_profile import measured_profile
from sarathid.config import DEFAULT_MODEL, EngineConfig, build
from sarathid.costmodel.cost_profile import profile_name, to_toml
from sarathid.costmodel.fit import Sample, fit, relative_errors
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile, profile_path
from sarathid.engine.assembly import build_core
from sarathid.errors import ConfigError
from sarathid.executor.base import Executor, ExecutorInfo
from sarathid.executor.cpu_threads import engine_environment
from sarathid.executor.parallel import ParallelExecutor
from sarathid.executor.profiler import measurable, measure, measure_sends
from sarathid.models.model_files import ModelFiles, resolve
from sarathid.simulator.replay import Replay
from sarathid.workload_catalog import load_requests

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_SEED = 0
_FRESH_SEED = 1
_FRESH_SCALE = 8
_FRESH_NUM_REQUESTS = 32
_PERCENT = 100.0


@app.command()
def profile(
    model: Annotated[str, typer.Option(metavar="MODEL", help="A directory, a .gguf file or a name.")] = DEFAULT_MODEL,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(metavar="DTYPE", help="auto, float32 or bfloat16.")] = "auto",
    load_format: Annotated[str, typer.Option(metavar="FORMAT", help="auto, or dummy: random weights.")] = "auto",
    quantize: Annotated[str, typer.Option(metavar="KIND", help="auto, off, int8 or int4.")] = "auto",
    kv_dtype: Annotated[str, typer.Option(metavar="DTYPE", help="auto, float32 or float16: keys and values.")] = "auto",
    cuda_graphs: Annotated[str, typer.Option(metavar="MODE", help="auto, on or off.")] = "auto",
    threads: Annotated[int | None, typer.Option(metavar="N", help="Threads that compute [the cores at hand].")] = None,
    tp: Annotated[int, typer.Option(metavar="N", help="Ranks that every layer is cut among.")] = 1,
    pp: Annotated[int, typer.Option(metavar="N", help="Stages that the layers are dealt to.")] = 1,
    max_tokens: Annotated[int, typer.Option(metavar="N", help="The largest iteration that is measured.")] = 1024,
    max_num_seqs: Annotated[int, typer.Option(metavar="N", help="The most sequences that are measured.")] = 64,
    max_context: Annotated[
        int | None, typer.Option(metavar="N", help="The longest context that is measured [the model's].")
    ] = None,
    rate: Annotated[float, typer.Option(metavar="X", help="Requests a second of the fresh load.")] = 1.0,
    validate: Annotated[
        bool, typer.Option("--validate", help="Measure nothing; hold the profile against fresh load.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where it goes [your profile directory].")] = None,
) -> None:
    """Measure this machine and this model, fit a cost profile, tell how well it fits, and keep it.

    Measure the layout that will serve: ranks share the machine, and stages are measured while all of them work.
    """
    if max_tokens < 16 or not 1 <= max_num_seqs <= 4096:
        raise ConfigError("--max-tokens is at least 16, and --max-num-seqs between 1 and 4096")
    config: EngineConfig = build(
        EngineConfig,
        {
            "model": model,
            "device": device,
            "dtype": dtype,
            "load_format": load_format,
            "quantize": quantize,
            "kv_dtype": kv_dtype,
            "cuda_graphs": cuda_graphs,
            "num_threads": threads,
            "tensor_parallel": tp,
            "pipeline_parallel": pp,
            "max_num_seqs": max_num_seqs,
            "max_model_len": max_context,
            "slo_tbt": None,
        },
    )
    files = resolve(config.model)
    executor = _executor(config)
    try:
        info = executor.start()
        if validate:
            _validate(config, executor, info, rate)
        else:
            _measure(config, executor, info, files, max_tokens, out)
    finally:
        executor.close()


def _executor(config: EngineConfig) -> Executor:
    if config.tensor_parallel * config.pipeline_parallel > 1:
        return ParallelExecutor(config)
    os.environ.update(engine_environment(config.num_threads) | os.environ)  # threads wait as a daemon's do
    # Deferred: torch loads only once the options have been understood.
    from sarathid.executor.local import LocalExecutor

    return LocalExecutor(config)


def _measure(
    config: EngineConfig,
    executor: Executor,
    info: ExecutorInfo,
    files: ModelFiles,
    max_tokens: int,
    out: Path | None,
) -> None:
    samples = _samples(executor, info, config.max_num_seqs, max_tokens)
    costs = fit(samples, files.config.num_layers)
    sent = measure_sends(executor, info, max_tokens) if config.pipeline_parallel > 1 else ()
    found = measured_profile(config, info, files.config, costs, samples, sent)
    path = profile_path(found.name) if out is None else out
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_toml(found), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    _tell(f"{found.name} fits {len(samples)} kinds of iterations", found.provenance.fit_error_pct["iterations"])
    typer.echo(str(path))


def _samples(executor: Executor, info: ExecutorInfo, max_num_seqs: int, max_tokens: int) -> tuple[Sample, ...]:
    """Measure every shape, in an order that spreads what the machine does meanwhile over all of them."""
    shapes = list(measurable(info, max_num_seqs, max_tokens))
    random.Random(_SEED).shuffle(shapes)
    clock = MonotonicClock()
    shown = track(shapes, description="Measuring iterations", console=Console(stderr=True))
    return tuple(measure(executor, info, shape, clock) for shape in shown)


def _validate(config: EngineConfig, executor: Executor, info: ExecutorInfo, rate_per_s: float) -> None:
    """Serve fresh requests with the real core and compare each iteration's time with the profile's."""
    name = profile_name(info.device, info.model, info.weight_format, config.tensor_parallel, config.pipeline_parallel)
    model = IterationCostModel(find_profile(name))
    clock = MonotonicClock()
    requests = load_requests("sharegpt4", num_requests=_FRESH_NUM_REQUESTS, seed=_FRESH_SEED, scale=_FRESH_SCALE)
    core = build_core(config, executor, info, clock, cost_model=model)
    replay = Replay(core, clock, requests.at_rate(rate_per_s).requests)
    predicted_s, measured_s = [], []
    with Console(stderr=True).status("Serving fresh requests"):
        while (output := replay.step()) is not None:
            if output.stats is not None and output.stats.predicted_s is not None:
                predicted_s.append(output.stats.predicted_s)
                measured_s.append(output.stats.execute_s)
    errors = relative_errors(predicted_s, measured_s)
    _tell(
        f"{name}, corrected as in a daemon, predicts {len(measured_s)} fresh iterations",
        tuple(error * _PERCENT for error in errors),
    )


def _tell(words: str, errors_pct: tuple[float, ...]) -> None:
    median, p95 = errors_pct
    typer.echo(f"{words}: median error {median:.1f} %, P95 {p95:.1f} %")
