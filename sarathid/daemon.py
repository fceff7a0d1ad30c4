"""The daemon's composition root: its parts, their life from the lock to the last socket, signals and exit codes."""

import asyncio
import contextlib
import gc
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import zmq
import zmq.asyncio

from sarathid.clock import MonotonicClock, wall_clock_offset_s
from sarathid.config import DaemonConfig, Grants
from sarathid.costmodel.cost_profile import profile_name
from sarathid.costmodel.library import profile_if_any
from sarathid.engine.client import EngineClient
from sarathid.errors import ControlRefused
from sarathid.exit_codes import ExitCode
from sarathid.models.model_files import ModelFiles
from sarathid.paths import API_SOCKET, CONTROL_SOCKET, FLIGHT_DIR, STATS_SOCKET, daemon_state_dir
from sarathid.protocol.control import DaemonState, Draining, ErrorCode, Paused, Resumed
from sarathid.protocol.slo import OverloadMode
from sarathid.protocol.stats import EngineInfo, EngineSettings, LifeCycle, RequestStats, StreamRecord
from sarathid.server.access import Access
from sarathid.server.admission import Admission
from sarathid.server.api_keys import APIKeys, read_keys
from sarathid.server.availability import Availability
from sarathid.server.control import ControlServer
from sarathid.server.explainer import Explainer
from sarathid.server.http import HTTPServer, listen_on_loopback
from sarathid.server.kept_settings import KeptSettings
from sarathid.server.openai.app import OpenAIServer
from sarathid.server.planner import Planner
from sarathid.server.promises import StartPromises
from sarathid.server.reloader import Reloader, Values
from sarathid.server.retry_advice import RetryAdvice
from sarathid.server.retuning import Retuner
from sarathid.server.runtime_directory import RuntimeDirectory
from sarathid.server.service_manager import ServiceManager
from sarathid.server.simulation_child import simulate_window
from sarathid.server.status import StatusReporter
from sarathid.server.tokenizer import load_tokenizer
from sarathid.supervisor import EngineSupervisor
from sarathid.telemetry import connection_limit
from sarathid.telemetry.audit_log import AuditLog
from sarathid.telemetry.board import Board
from sarathid.telemetry.flight_recorder import FlightRecorder
from sarathid.telemetry.gpu_meter import GPUMeter
from sarathid.telemetry.kept_burn_rates import KeptBurnRates
from sarathid.telemetry.log import log_record, targets_in_words
from sarathid.telemetry.publisher import StatsPublisher
from sarathid.telemetry.tape_ring import TapeRing
from sarathid.telemetry.tracing import make_tracer

CANCEL_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


class Daemon:
    """All parts of one daemon in one runtime directory, which its caller holds."""

    def __init__(
        self,
        config: DaemonConfig,
        files: ModelFiles,
        directory: RuntimeDirectory,
        kept: frozenset[str],
        read_values: Callable[[], Values],
    ) -> None:
        """Open the sockets; `kept` names the settings of `config` that an earlier daemon left.

        `read_values` gives the settings as they are configured when it is called, and may raise `ConfigError`.

        Raises `ModelRefused` when the model's tokenizer or chat template is broken.
        """
        self._tokenizer = load_tokenizer(files)
        self._config = config
        self._directory = directory
        self._clock = MonotonicClock()
        self._started_s = self._clock.now_s()
        self._availability = Availability()
        self._stop_asked = asyncio.Event()
        self._finished = asyncio.Event()
        self._reload_asked = asyncio.Event()
        self._is_interrupted = False
        self._drain_timeout_s = config.server.drain_timeout_s
        self._context = zmq.asyncio.Context()
        self._engine = EngineClient(
            config.server.max_queue_len,
            config.server.max_waiting_tokens,
            sheds_overload=config.engine.overload is OverloadMode.SHED,
        )
        self._board = Board()
        state = daemon_state_dir(directory.path)
        self._kept_burn_rates = KeptBurnRates(state, self._board.burn_rates, wall_clock_offset_s())
        self._kept_burn_rates.read(self._clock.now_s())
        self._access = Access(config.server.roles, os.getuid())
        self._loopback = None if config.server.http_port is None else listen_on_loopback(config.server.http_port)
        self._publisher = StatsPublisher(
            zmq.Context(self._context),
            directory.listen(STATS_SOCKET, connection_limit.LISTEN_BACKLOG),
            self._clock,
            user_ids=self._access.user_ids,
            group_ids=self._access.group_ids,
        )
        self._gpu_meter = GPUMeter()
        self._reporter = StatusReporter(
            self._engine,
            self._board,
            self._publisher,
            self._availability,
            self._clock,
            lambda: self._supervisor.num_restarts,
            lambda: self._recorder.status,
            lambda: self._admission.refusals,
            lambda: self._gpu_meter.latest,
        )
        advice = RetryAdvice(self._engine, self._board, self._clock)
        self._admission = Admission(
            self._engine,
            advice,
            config.server.max_client_requests,
            self._clock,
            on_empty=self._note_idleness,
        )
        self._recorder = self._make_recorder()
        self._retuner = self._make_retuner(kept)
        self._reloader = Reloader(read_values, self._retuner, self._isolated_decode_s, self._grant)
        self._service = ServiceManager(os.environ)
        self._promises = StartPromises()
        self._planner = Planner(self._engine, simulate_window, self._clock)
        for observer in (
            self._planner.observe,
            self._board.observe,
            self._retuner.observe,
            self._promises.observe,
            self._publisher.publish,
            self._recorder.observe,
            log_record,
            self._note_idleness,
        ):
            self._engine.subscribe(observer)
        self._supervisor = self._make_supervisor()
        self._control = ControlServer(
            self._context,
            directory.listen(CONTROL_SOCKET, connection_limit.LISTEN_BACKLOG),
            self._engine,
            self._reporter,
            self._retuner,
            Explainer(self._engine, self._board, self._promises, self._clock),
            self._planner.plan,
            self._recorder.read,
            self,
            self._access,
            self._clock,
        )
        simulated = config.engine.simulate
        served_model = files.name if simulated is None else f"simulated {simulated}"
        self._tracer = make_tracer(os.environ, served_model)
        if self._tracer is not None:
            self._engine.subscribe(self._tracer.observe)
        self._http = self._make_http_server(served_model)

    async def run(self) -> int:
        """Serve until told to stop, and return the process's exit code.

        SIGTERM, SIGINT or the `drain` operation begin a drain; SIGINT during one ends it at once. SIGHUP has the
        configuration read again; SIGCONT says that what was late while the process was stopped is nobody's doing.
        Raises `EngineFailed` when the engine can't be kept running.
        """
        gc.collect()
        gc.freeze()  # what was loaded stays: no collection has to pass over it
        self._gpu_meter.start()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.drain)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGHUP, self._ask_reload)
        # By the loop it would be told only behind what waited meanwhile, which could not be blamed on the stop then.
        signal.signal(signal.SIGCONT, lambda _number, _frame: self._engine.go_on())
        log.info("sockets %s/{%s,%s,%s}", self._directory.path, API_SOCKET, CONTROL_SOCKET, STATS_SOCKET)
        tasks = [
            asyncio.create_task(self._supervisor.run()),
            asyncio.create_task(self._http.serve(sockets=self._api_listeners())),
            asyncio.create_task(self._control.run()),
            asyncio.create_task(self._retuner.run()),
            asyncio.create_task(self._publisher.beat(lambda: self._availability.state)),
            asyncio.create_task(self._reload_when_asked()),
            asyncio.create_task(self._service.beat()),
            asyncio.create_task(self._recorder.run()),
            asyncio.create_task(self._kept_burn_rates.run()),
        ]
        try:
            await first_of(self._stop_asked.wait(), tasks)
            return await self._finish(tasks)
        finally:
            await self._close(tasks)

    def drain(self, timeout_s: float | None = None) -> Draining:
        """Take nothing new; the daemon ends when all that runs has ended, or after `timeout_s`.

        The first call decides; later ones change nothing.
        """
        if not self._stop_asked.is_set():
            self._drain_timeout_s = self._drain_timeout_s if timeout_s is None else timeout_s
            self._become(DaemonState.DRAINING, f"draining, for {self._drain_timeout_s:g} s at most")
            self._stop_asked.set()
            self._note_idleness()
        return Draining(num_in_flight=self._engine.num_in_flight, timeout_s=self._drain_timeout_s)

    def pause(self) -> Paused:
        """Take nothing new and finish what runs, until `resume` or a drain; raises `ControlRefused` unless ready."""
        if not self._availability.is_ready:
            state = self._availability.state
            raise ControlRefused(ErrorCode.CONFLICT, f"the daemon is {state}, and what takes nothing can't be paused")
        self._become(DaemonState.PAUSED, "paused: the daemon takes nothing new until it is resumed")
        return Paused(num_in_flight=self._engine.num_in_flight)

    def resume(self) -> Resumed:
        """Take requests again; raises `ControlRefused` unless paused."""
        if self._availability.state is not DaemonState.PAUSED:
            hint = "a drain goes on to its end" if self._stop_asked.is_set() else ""
            raise ControlRefused(ErrorCode.CONFLICT, f"the daemon is {self._availability.state}, not paused", hint)
        self._availability.resume()
        self._tell_state()
        return Resumed(state=self._availability.state)

    def _interrupt(self) -> None:
        """Drain at the first ^C, stop at the second; while the first engine starts there is nothing to drain."""
        if self._stop_asked.is_set() or self._availability.state is DaemonState.STARTING:
            self._is_interrupted = True
            self._finished.set()
        self.drain()

    def _ask_reload(self) -> None:
        if self._availability.is_ready:
            self._reload_asked.set()
        else:
            log.warning("the configuration is not read again now: %s", self._availability.reason)

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload_asked.wait()
            self._reload_asked.clear()
            self._service.tell_reloading()
            await self._reloader.reload()
            self._service.tell(DaemonState.READY, self._availability.reason)

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> int:
        """Wait for the last request, the deadline or a second ^C, and return the exit code."""
        try:
            async with asyncio.timeout(self._drain_timeout_s):
                await first_of(self._finished.wait(), tasks)
        except TimeoutError:
            if not self._finished.is_set():
                await self._cancel_all()
                return ExitCode.DEADLINE_PASSED
        return ExitCode.INTERRUPTED if self._is_interrupted else ExitCode.DONE

    async def _cancel_all(self) -> None:
        """End every request, and give clients a moment to hear of it."""
        requests = self._engine.list_requests(self._clock.now_s())
        for request in requests:
            self._engine.cancel(request.request_id)
        if requests:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._finished.wait(), CANCEL_TIMEOUT_S)

    async def _close(self, tasks: list[asyncio.Task[None]]) -> None:
        supervising, serving, *others = tasks
        self._http.should_exit = True
        self._http.force_exit = self._is_interrupted
        await asyncio.wait((serving,))
        for task in (supervising, *others):
            task.cancel()
        await asyncio.wait((supervising, *others))
        await (self._supervisor.kill() if self._is_interrupted else self._supervisor.stop())
        await self._recorder.flush()
        self._kept_burn_rates.write()
        if self._tracer is not None:
            await self._tracer.close()
        self._tokenizer.close()
        self._control.close()
        self._publisher.close()
        await asyncio.to_thread(self._gpu_meter.close)
        self._context.term()

    def _become(self, state: DaemonState, reason: str) -> None:
        """Change state, and say so to the log and, where it shows, to whoever watches."""
        log.info("%s", reason)
        if self._availability.become(state, reason):
            self._tell_state()

    def _tell_state(self) -> None:
        state, reason = self._availability.state, self._availability.reason
        self._service.tell(state, reason)
        event = LifeCycle(time_s=self._clock.now_s(), state=state, message=reason)
        self._board.observe(event)
        self._publisher.publish(event)
        self._recorder.observe(event)

    def _note_idleness(self, record: StreamRecord | None = None) -> None:
        """Finish a drain when the last request has ended, also of those that are still read."""
        is_end = record is None or isinstance(record, RequestStats)
        if is_end and self._stop_asked.is_set() and self._engine.num_in_flight == 0 and self._admission.is_empty:
            self._finished.set()

    def _on_engine_up(self) -> None:
        engine, info, settings = self._config.engine, self._engine.info, self._engine.settings
        assert info is not None
        assert settings is not None
        self._retuner.begin(settings)
        self._board.begin(settings)
        name = engine.simulate or profile_name(
            info.device, info.model, info.dtype, engine.tensor_parallel, engine.pipeline_parallel
        )
        self._planner.begin(name, profile_if_any(name))
        for line in introduction(info, settings):
            log.info("%s", line)
        self._become(DaemonState.READY, f"ready in {self._clock.now_s() - self._started_s:.1f} s")

    def _on_engine_down(self, reason: str) -> None:
        self._started_s = self._clock.now_s()
        self._become(DaemonState.RESTARTING, f"{reason}; starting another one")

    def _grant(self, grants: Grants) -> None:
        self._access.grant(grants)
        self._publisher.admit(self._access.user_ids, self._access.group_ids)

    def _isolated_decode_s(self) -> float:
        assert self._engine.info is not None, "who is ready has had an engine"
        return self._engine.info.isolated_decode_s

    def _make_retuner(self, kept: frozenset[str]) -> Retuner:
        directory = daemon_state_dir(self._directory.path)
        store = KeptSettings(directory)
        return Retuner(self._engine, self._board, AuditLog(directory), store, kept, self._clock, time.time)

    def _make_recorder(self) -> FlightRecorder:
        server, directory = self._config.server, daemon_state_dir(self._directory.path)
        ring = TapeRing(directory / FLIGHT_DIR, server.record_bytes, server.record_s)
        is_wanted = server.record_bytes and server.record_s
        return FlightRecorder(ring if is_wanted else None, self._reporter.key_frame, self._clock, wall_clock_offset_s())

    def _make_supervisor(self) -> EngineSupervisor:
        server = self._config.server
        return EngineSupervisor(
            self._engine,
            self._config.engine,
            start_timeout_s=server.start_timeout_s,
            max_restarts=server.max_engine_restarts,
            on_down=self._on_engine_down,
            on_up=self._on_engine_up,
        )

    def _api_listeners(self) -> list[socket.socket]:
        """Return the sockets of the API: the directory's, and where one was asked for that of a port."""
        listeners = [self._directory.listen(API_SOCKET)]
        if self._loopback is not None:
            log.info("http://%s:%d for who has a key", *self._loopback.getsockname())
            listeners.append(self._loopback)
        return listeners

    def _make_http_server(self, served_model: str) -> HTTPServer:
        keys_file = self._config.server.http_keys
        server = OpenAIServer(
            self._engine,
            self._tokenizer,
            self._access,
            APIKeys({}) if keys_file is None else read_keys(keys_file),
            self._availability,
            self._admission,
            served_model,
            self._reporter.metrics,
            self._clock,
            random.SystemRandom(),
            self._tracer,
        )
        return HTTPServer(server.app())


async def first_of(event: Coroutine[Any, Any, object], tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for `event`, or for the end of one of `tasks`, which are not expected to end, and raise its error."""
    waiting = asyncio.create_task(event)
    try:
        await asyncio.wait((waiting, *tasks), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    for task in tasks:
        if task.done():
            task.result()


def introduction(info: EngineInfo, settings: EngineSettings) -> tuple[str, ...]:
    """Return what an operator wants to read first, in lines."""
    mib = 1 << 20
    return (
        f"model   {info.model}, {info.dtype} on {info.device} ({info.layout}), {info.num_threads} threads, "
        f"{info.attention_backend} attention",
        f"memory  {info.weight_bytes / mib:.0f} MiB of weights, {info.kv_cache_bytes / mib:.0f} MiB of KV cache: "
        f"{info.num_blocks} blocks of {info.block_size} tokens",
        f"budget  {settings.budget} tokens an iteration ({info.min_token_budget} to {info.max_token_budget}), "
        f"{settings.policy}, {targets_in_words(settings.slo)}",
        *(f"note    {note}" for note in (*filter(None, (info.weights_fault,)), *info.notes)),
    )
