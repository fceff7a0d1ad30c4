"""`sarathid serve`: settle what is meant, then run the daemon until it ends."""

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from sarathid.commands.settings import KEPT, Effective, resolve, to_config, with_kept
from sarathid.config import DaemonConfig, EngineConfig
from sarathid.costmodel.library import find_profile
from sarathid.daemon import Daemon
from sarathid.engine.assembly import initial_settings
from sarathid.errors import ConfigError, ModelRefused
from sarathid.executor.layout import Layout
from sarathid.executor.network import interface_of, read_endpoint
from sarathid.executor.running_ahead import runs_ahead
from sarathid.models import catalog, fetch, model_files
from sarathid.paths import (
    API_SOCKET,
    CONTROL_SOCKET,
    STATS_SOCKET,
    check_not_shared,
    check_ours,
    check_socket_path,
    daemon_state_dir,
)
from sarathid.scheduler.policies.registry import POLICIES
from sarathid.server.acceptor import most_connections
from sarathid.server.api_keys import read_keys
from sarathid.server.inherited_sockets import inherited_sockets
from sarathid.server.kept_settings import KeptSettings, KeptTexts
from sarathid.server.reloader import Values
from sarathid.server.runtime_directory import RuntimeDirectory
from sarathid.server.tokenizer import load_tokenizer
from sarathid.telemetry import log

LEAST_DESCRIPTORS = 256  # an idle daemon has 35, a new engine takes ten, and clients and peers have shares of them all

logger = logging.getLogger(__name__)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _option(metavar: str, words: str, *names: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, metavar=metavar, help=words)
    return option


@app.command()
def serve(
    model: Annotated[str | None, _option("MODEL", "A directory, a .gguf file or a name [smollm2-135m].")] = None,
    simulate: Annotated[
        str | None, _option("PROFILE", "Compute nothing: take the time of a cost profile, give words without meaning.")
    ] = None,
    device: Annotated[str | None, _option("DEVICE", "auto, cpu or cuda [auto].")] = None,
    dtype: Annotated[str | None, _option("DTYPE", "auto, float32 or bfloat16 [auto].")] = None,
    load_format: Annotated[
        str | None, _option("FORMAT", "auto, or dummy: random weights, to time a model without having it [auto].")
    ] = None,
    quantize: Annotated[
        str | None, _option("KIND", "auto, off, int8 or int4: keep weights in fewer bits [auto: int8 on a CPU].")
    ] = None,
    kv_dtype: Annotated[
        str | None,
        _option("DTYPE", "auto, float32 or float16: keys and values, on a CPU [auto: float16 if quantized]."),
    ] = None,
    cuda_graphs: Annotated[
        str | None, _option("MODE", "auto, on or off: launch the decodes of an iteration as one, on CUDA [auto].")
    ] = None,
    async_scheduling: Annotated[
        str | None, _option("MODE", "auto, on or off: put a batch together while one runs [auto: on a GPU].")
    ] = None,
    attention_backend: Annotated[str | None, _option("NAME", "auto, or a kernel by name [auto].")] = None,
    tp: Annotated[str | None, _option("N", "Parts that each layer is cut into, a rank each [1].")] = None,
    pp: Annotated[str | None, _option("N", "Stages that the layers are dealt to, --tp ranks each [1].")] = None,
    nnodes: Annotated[str | None, _option("N", "Nodes that the ranks are on; others run `sarathid join` [1].")] = None,
    rendezvous: Annotated[
        str | None, _option("HOST:PORT", "This node's address on the network of the nodes, which must be trusted.")
    ] = None,
    threads: Annotated[str | None, _option("N", "Threads that compute, on each node [the cores at hand].")] = None,
    kv_memory: Annotated[str | None, _option("SIZE", "Memory of the KV cache, 2GiB say [what is free].")] = None,
    block_size: Annotated[str | None, _option("N", "Tokens a block [16 on CPU, 256 on CUDA].")] = None,
    watermark: Annotated[str | None, _option("SHARE", "Share of the blocks kept free at admission [0.01].")] = None,
    overload: Annotated[
        str | None,
        _option(
            "MODE", "New requests while decodes alone miss the target: admit, hold, shed; hold if it was set [auto]."
        ),
    ] = None,
    prefill_order: Annotated[
        str | None, _option("ORDER", "Whose prompt first: arrival or shortest-remaining [arrival].")
    ] = None,
    prefix_cache: Annotated[
        bool | None,
        typer.Option("--prefix-cache/--no-prefix-cache", help="Compute what prompts begin with in common once [on]."),
    ] = None,
    max_model_len: Annotated[str | None, _option("N", "Longest context in tokens [the model's].")] = None,
    max_num_seqs: Annotated[str | None, _option("N", "Most requests at a time [128].")] = None,
    policy: Annotated[str | None, _option("NAME", f"One of {', '.join(POLICIES)} [stall-free].")] = None,
    token_budget: Annotated[
        str | None,
        _option("N|auto|profiled", "Tokens an iteration [auto: what the target allows].", "--token-budget", "--budget"),
    ] = None,
    min_budget: Annotated[str | None, _option("N", "The least that may be set while it runs [16].")] = None,
    max_budget: Annotated[str | None, _option("N", "The most that may be set while it runs [8192].")] = None,
    slo_tbt: Annotated[str | None, _option("TARGET", "P99 between tokens: 100ms, off, 5x, as auto is [auto].")] = None,
    slo_ttft: Annotated[str | None, _option("TARGET", "P95 to the first token: 2s, 25x or off [off].")] = None,
    runtime_dir: Annotated[str | None, _option("DIR", "Where the sockets go [$XDG_RUNTIME_DIR/sarathid].")] = None,
    socket_group: Annotated[
        str | None, _option("GROUP", "Who may connect beside you; --roles says what they may do [nobody].")
    ] = None,
    roles: Annotated[
        str | None, _option("WHO=ROLE,..", "Users and @groups who may read, infer, operate or admin [nobody but you].")
    ] = None,
    http_port: Annotated[str | None, _option("N", "Serve the API on this port of 127.0.0.1 too [none].")] = None,
    http_keys: Annotated[str | None, _option("FILE", "Lines NAME KEY: who may use that port.")] = None,
    max_queue_len: Annotated[str | None, _option("N", "Requests that may wait [1024].")] = None,
    max_waiting_tokens: Annotated[
        str | None, _option("N", "Tokens of waiting prompts from which on none is taken [1048576].")
    ] = None,
    max_client_requests: Annotated[
        str | None, _option("N", "Requests that one client process may have under way [512].")
    ] = None,
    drain_timeout: Annotated[str | None, _option("TIME", "How long a drain may take [30s].")] = None,
    start_timeout: Annotated[str | None, _option("TIME", "How long the engine may take to start [600s].")] = None,
    max_engine_restarts: Annotated[str | None, _option("N", "Restarts in a row before giving up [5].")] = None,
    record: Annotated[str | None, _option("TIME", "How far back the flight recorder goes, 0 for none [60m].")] = None,
    record_size: Annotated[str | None, _option("SIZE", "The most that its files may hold [64MiB].")] = None,
    config: Annotated[Path | None, _option("FILE", "A TOML file [$XDG_CONFIG_HOME/sarathid/sarathid.toml].")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check everything, print the settings, serve nothing.")
    ] = False,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more.")] = 0,
) -> None:
    """Serve a model on sockets in a private directory.

    A setting comes from its flag, else from SARATHID_NAME in the environment, else from the file,
    else the budget, policy and targets are those last set while it ran here, else it has the default in brackets.
    """
    flags = {
        "model": model,
        "simulate": simulate,
        "device": device,
        "dtype": dtype,
        "load_format": load_format,
        "quantize": quantize,
        "kv_dtype": kv_dtype,
        "cuda_graphs": cuda_graphs,
        "async_scheduling": async_scheduling,
        "attention_backend": attention_backend,
        "tp": tp,
        "pp": pp,
        "nnodes": nnodes,
        "rendezvous": rendezvous,
        "threads": threads,
        "kv_memory": kv_memory,
        "block_size": block_size,
        "watermark": watermark,
        "overload": overload,
        "prefix_cache": None if prefix_cache is None else str(prefix_cache),
        "prefill_order": prefill_order,
        "max_model_len": max_model_len,
        "max_num_seqs": max_num_seqs,
        "policy": policy,
        "token_budget": token_budget,
        "min_budget": min_budget,
        "max_budget": max_budget,
        "slo_tbt": slo_tbt,
        "slo_ttft": slo_ttft,
        "runtime_dir": runtime_dir,
        "socket_group": socket_group,
        "roles": roles,
        "http_port": http_port,
        "http_keys": http_keys,
        "max_queue_len": max_queue_len,
        "max_waiting_tokens": max_waiting_tokens,
        "max_client_requests": max_client_requests,
        "drain_timeout": drain_timeout,
        "start_timeout": start_timeout,
        "max_engine_restarts": max_engine_restarts,
        "record": record,
        "record_size": record_size,
    }
    log.configure(verbose)
    signal.signal(signal.SIGHUP, _refuse_reload)
    settings = with_kept_if_valid(resolve(flags, os.environ, config))
    daemon_config = checked_config(settings)
    engine = daemon_config.engine
    if engine.simulate is not None:  # what is unknown, or can't be, is refused at once
        runs_ahead(engine.async_scheduling, find_profile(engine.simulate).shape.num_devices, is_beside=True)
    if check:
        report(daemon_config, settings)
    else:
        raise typer.Exit(run(daemon_config, settings, lambda: values_of(resolve(flags, os.environ, config))))


def _refuse_reload(_number: int, _frame: FrameType | None) -> None:
    """Keep SIGHUP from ending a daemon whose event loop, where it is heard later, does not run yet."""
    logger.warning("the configuration is not read again now: the daemon is starting")


def with_kept_if_valid(settings: list[Effective]) -> list[Effective]:
    """Return the settings with what an earlier daemon left for the same runtime directory, unless it can't be had."""
    kept = KeptSettings(daemon_state_dir(to_config(settings).server.runtime_dir)).read()
    if not kept:
        return settings
    try:
        together = with_kept(settings, kept)
        checked_config(together)
    except ConfigError as error:
        logger.warning("the kept settings are ignored: %s", error)
        return settings
    return together


def checked_config(settings: list[Effective]) -> DaemonConfig:
    """Return the configuration that the settings make; raises `ConfigError` for a budget, policy or target too."""
    config = to_config(settings)
    initial_settings(config.engine, isolated_decode_s=1.0)
    _check_layout(config.engine)
    return config


def _check_layout(config: EngineConfig) -> None:
    layout = Layout.of(config)
    if config.simulate is not None and layout.num_ranks > 1:
        raise ConfigError("--tp and --pp are for a model that runs; a cost profile has its own, which its name says")
    if layout.num_nodes > 1:
        if config.rendezvous is None:
            raise ConfigError("--nnodes needs --rendezvous HOST:PORT, where the other nodes join")
        interface_of(read_endpoint(config.rendezvous)[0])
    elif config.rendezvous is not None:
        raise ConfigError(
            "--rendezvous is where other nodes join; say with --nnodes how many there are, or leave it out"
        )


def values_of(settings: list[Effective]) -> Values:
    """Return the settings' values by name; raises `ConfigError` as `checked_config` does."""
    checked_config(settings)
    return {effective.setting.name: effective.value for effective in settings}


def origins(settings: list[Effective]) -> Iterator[str]:
    """Yield each setting that can be changed while the daemon runs, with its value and where that comes from."""
    for effective in settings:
        if effective.setting.name in KeptTexts.__struct_fields__:
            yield f"{effective.setting.name} {_shown(effective.value)} ({effective.source})"


def run(config: DaemonConfig, settings: list[Effective], read_values: Callable[[], Values]) -> int:
    """Hold the runtime directory and serve; returns the exit code. `read_values` reads the configuration again."""
    os.umask(0o077)
    _allow_many_connections(config)
    logger.info("%s", ", ".join(origins(settings)))
    kept = frozenset(found.setting.name for found in settings if found.source == KEPT)
    server, inherited = config.server, inherited_sockets(os.environ)
    with RuntimeDirectory(server.runtime_dir, server.socket_group, inherited) as directory:
        files = model_files.resolve(config.engine.model)
        return asyncio.run(_serve(config, files, directory, kept, read_values))


def _allow_many_connections(config: DaemonConfig) -> None:
    """Take as many file descriptors as the system lets us have; each client in flight needs one."""
    num_descriptors = _num_descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (num_descriptors, num_descriptors))
    allowed, wanted = most_connections(), config.server.max_queue_len + config.engine.max_num_seqs
    if allowed < wanted:
        logger.warning(
            "%d connections are taken at a time, half of the open files allowed (ulimit -n, or LimitNOFILE= in a unit);"
            " %d requests may run and wait",
            *(allowed, wanted),
        )


def _num_descriptors() -> int:
    """Return how many file descriptors the system lets us have; raises `ConfigError` where they are too few."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < LEAST_DESCRIPTORS:
        raise ConfigError(
            f"only {hard} open files are allowed, and a daemon needs {LEAST_DESCRIPTORS}; raise the limit "
            "(ulimit -n, or LimitNOFILE= in a unit)"
        )
    return hard


async def _serve(
    config: DaemonConfig,
    files: model_files.ModelFiles,
    directory: RuntimeDirectory,
    kept: frozenset[str],
    read_values: Callable[[], Values],
) -> int:
    return await Daemon(config, files, directory, kept, read_values).run()


def report(config: DaemonConfig, settings: list[Effective]) -> None:
    """Print the settings in force and whether the model can be had, without its weights.

    Raises `ConfigError` or `ModelRefused` for what would keep a daemon from starting.
    """
    for effective in settings:
        typer.echo(f"{effective.setting.name:<20} {_shown(effective.value):<32} {effective.source}")
    _num_descriptors()
    _check_directory(config.server.runtime_dir)
    if config.server.http_keys is not None:
        read_keys(config.server.http_keys)
    if config.engine.simulate is None:
        _check_model(config.engine)


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)


def _check_directory(path: Path) -> None:
    for name in (API_SOCKET, CONTROL_SOCKET, STATS_SOCKET):
        check_socket_path(path.absolute() / name)
    if os.path.lexists(path):
        check_ours(path)
        check_not_shared(path)
    else:
        parent = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
        if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
            raise ConfigError(f"{path} can't be made in {parent}; choose another --runtime-dir")


def _check_model(config: EngineConfig) -> None:
    fetchable = next((entry for entry in catalog.CATALOG if entry.name == config.model), None)
    if fetchable is not None and not fetch.is_fetched(fetchable):
        typer.echo(f"{config.model} is not in the cache; starting would fetch {fetchable.num_bytes / 1e6:.0f} MB")
        return
    files = model_files.resolve(config.model)
    longest = files.config.max_position_embeddings
    if config.max_model_len is not None and config.max_model_len > longest:
        raise ModelRefused(f"--max-model-len {config.max_model_len} is more than the model's {longest} positions")
    load_tokenizer(files).close()
    # Deferred: it loads torch, which serving itself leaves to the engine process.
    from sarathid.executor.rank import check_ranks

    check_ranks(config)
    typer.echo(f"{files.path} is a {files.config.architecture} with {longest} positions; its tokenizer loads")
