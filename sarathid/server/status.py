"""The daemon in one reply: what its parts know, put together when somebody asks."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from sarathid.clock import Clock
from sarathid.engine.client import EngineClient
from sarathid.protocol.control import (
    OwnerStatus,
    RecorderStatus,
    RequestList,
    RequestState,
    RequestStatus,
    Snapshot,
    Status,
)
from sarathid.protocol.gpus import GPUStatus
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.roles import Role
from sarathid.server.availability import Availability
from sarathid.server.waiting_line import RUNNING
from sarathid.tape.key_frame import KeyFrame, row_of
from sarathid.telemetry.board import Board
from sarathid.telemetry.exposition import Family
from sarathid.telemetry.prometheus import metric_families
from sarathid.telemetry.publisher import StatsPublisher
from sarathid.telemetry.refusals import Refusals
from sarathid.telemetry.work_figures import work_figures
from sarathid.version import __version__


class StatusReporter:
    """Answers for the whole daemon. `num_engine_restarts()` is told by whoever restarts the engine."""

    def __init__(
        self,
        engine: EngineClient,
        board: Board,
        publisher: StatsPublisher,
        availability: Availability,
        clock: Clock,
        num_engine_restarts: Callable[[], int],
        recorder_status: Callable[[], RecorderStatus | None] = lambda: None,
        refusals: Callable[[], Refusals] = Refusals,
        gpus: Callable[[], tuple[GPUStatus, ...]] = tuple,
    ) -> None:
        self._engine = engine
        self._board = board
        self._publisher = publisher
        self._availability = availability
        self._clock = clock
        self._started_s = clock.now_s()
        self._num_engine_restarts = num_engine_restarts
        self._recorder_status = recorder_status
        self._refusals = refusals
        self._gpus = gpus

    def status(self, role: Role | None = None) -> Status:
        """Return the daemon's state, counters and latencies at this moment, to one who has that role."""
        board, now_s = self._board, self._clock.now_s()
        states = Counter(request.state for request in self._engine.list_requests(now_s))
        num_blocks_used, num_blocks_free = self._blocks()
        return Status(
            version=__version__,
            state=self._availability.state,
            pid=os.getpid(),
            uptime_s=now_s - self._started_s,
            engine=self._engine.info,
            settings=self._engine.settings,
            num_running=states[RequestState.PREFILL] + states[RequestState.DECODE],
            num_waiting=states[RequestState.WAITING] + states[RequestState.PREEMPTED],
            num_preempted=states[RequestState.PREEMPTED],
            num_blocks_used=num_blocks_used,
            num_blocks_free=num_blocks_free,
            num_iterations=board.num_iterations,
            num_finished=board.num_finished.total(),
            num_cancelled=board.num_finished[FinishReason.CANCELLED],
            num_output_tokens=board.num_output_tokens,
            num_stalls=board.num_stalls.total(),
            num_engine_restarts=self._num_engine_restarts(),
            tbt=board.tbt(now_s),
            ttft=board.ttft(now_s),
            prediction_error=board.prediction_error(now_s),
            is_overloaded=board.overload is not None and self._engine.num_in_flight > 0,
            time_s=now_s,
            role=role,
            recorder=self._recorder_status(),
            num_prefill_tokens=board.num_prefill_tokens,
            num_cached_tokens=board.num_cached_tokens,
            work=work_figures(reversed(board.iterations), now_s),
            num_late=board.recent.late.count(now_s),
            gpus=self._gpus() if self._computes_on_gpus else (),
        )

    @property
    def _computes_on_gpus(self) -> bool:
        return self._engine.info is not None and self._engine.info.device.startswith("cuda")

    def requests(self) -> RequestList:
        """Return the requests that have not ended, oldest first, and how they share the engine."""
        now_s = self._clock.now_s()
        found = self._engine.list_requests(now_s)
        num_tokens = self._board.owners.recent(now_s)
        return RequestList(
            requests=found,
            owners=self._owners(found, num_tokens),
        )

    def snapshot(self, num_iterations: int, role: Role | None = None) -> Snapshot:
        """Return the status with the latest `num_iterations` records, and how far each topic has got."""
        board = self._board
        num_skipped = max(0, len(board.iterations) - num_iterations)
        return Snapshot(
            status=self.status(role),
            requests=self._engine.list_requests(self._clock.now_s()),
            iterations=tuple(islice(board.iterations, num_skipped, None)),
            events=board.events,
            finished=tuple(board.finished),
            stream_positions=self._publisher.positions,
        )

    def key_frame(self, now_s: float) -> KeyFrame:
        """Return what a recording needs to know to begin at this moment."""
        requests = self._engine.list_requests(now_s)
        states = Counter(request.state for request in requests)
        num_blocks_used, num_blocks_free = self._blocks()
        return KeyFrame(
            time_s=now_s,
            daemon_state=self._availability.state,
            message=self._availability.reason,
            info=self._engine.info,
            settings=self._engine.settings,
            num_running=states[RequestState.PREFILL] + states[RequestState.DECODE],
            num_waiting=states[RequestState.WAITING],
            num_preempted=states[RequestState.PREEMPTED],
            num_blocks_used=num_blocks_used,
            num_blocks_free=num_blocks_free,
            requests=tuple(row_of(request, now_s, None) for request in requests),
        )

    def metrics(self) -> Iterator[Family]:
        """Yield what `/metrics` tells."""
        return metric_families(
            self._board, self.status(), self.requests().owners, self._refusals(), self._publisher.num_dropped
        )

    def _owners(self, found: Iterable[RequestStatus], num_tokens: Counter[str]) -> dict[str, OwnerStatus]:
        num_running = Counter(request.owner for request in found if request.state in RUNNING)
        num_waiting = Counter(request.owner for request in found if request.state not in RUNNING)
        total = num_tokens.total()
        return {
            owner: OwnerStatus(
                num_running=num_running[owner],
                num_waiting=num_waiting[owner],
                window_s=self._board.owners.window_s,
                num_tokens=num_tokens[owner],
                share=num_tokens[owner] / total if total else None,
                deficit=self._engine.deficits.get(owner, 0),
            )
            for owner in num_running | num_waiting
        }

    def _blocks(self) -> tuple[int, int]:
        """Return blocks used and free: of the last iteration, unless nothing has been in flight since."""
        info, last = self._engine.info, self._board.last
        if last is not None and self._engine.num_in_flight:
            return last.num_blocks_used, last.num_blocks_free
        return 0, 0 if info is None else info.num_blocks
