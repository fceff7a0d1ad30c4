"""Answers why: the budget is what it is, a request waits, or it stalled."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from sarathid.clock import Clock
from sarathid.engine.client import EngineClient
from sarathid.errors import ControlRefused
from sarathid.protocol.control import ErrorCode, RequestStatus
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import EngineSettings, IterationStats
from sarathid.protocol.why import BudgetReasons, RequestReasons, StallReasons, WaitReasons
from sarathid.server.promises import StartPromises
from sarathid.server.waiting_line import RUNNING, WaitingLine
from sarathid.telemetry.board import Board
from sarathid.telemetry.service_rates import service_rates

NUM_ITERATIONS = 100
RATES_WINDOW_S = 30.0
MAX_STALLS = 32


class Explainer:
    """Reads the board and the engine's requests; what it promises of a start it holds against what comes."""

    def __init__(self, engine: EngineClient, board: Board, promises: StartPromises, clock: Clock) -> None:
        self._engine = engine
        self._board = board
        self._promises = promises
        self._clock = clock

    def budget(self) -> BudgetReasons:
        """Return why the budget is what it is; raises `ControlRefused` before the engine was ever ready."""
        engine, settings = self._engine.info, self._engine.settings
        if engine is None or settings is None:
            raise ControlRefused(ErrorCode.UNAVAILABLE, "the engine is not ready", "ask again when it is")
        board, now_s = self._board, self._clock.now_s()
        iterations, recent = self._iterations_under(settings), board.recent
        last = iterations[0] if iterations else None
        return BudgetReasons(
            engine=engine,
            settings=settings,
            token_budget=settings.token_budget if last is None else last.token_budget,
            plan=None if last is None else last.plan,
            num_decodes=0 if last is None else last.num_decode_tokens,
            age_s=None if last is None else max(0.0, now_s - last.end_s),
            num_by_bound=Counter(stats.bound for stats in iterations),
            window_s=recent.window_s,
            num_tbts=recent.tbt.count(now_s),
            num_late=recent.late.count(now_s),
            prediction_error=board.prediction_error(now_s),
            overload=board.overload if self._engine.num_in_flight else None,
            promises=self._promises.record(),
        )

    def request(self, request_id: int) -> RequestReasons:
        """Return why a request waits or stalled; raises `ControlRefused` when it is not known (any more)."""
        now_s = self._clock.now_s()
        requests = self._engine.list_requests(now_s)
        status = next((request for request in requests if request.request_id == request_id), None)
        ended = next((found for found in reversed(self._board.finished) if found.request_id == request_id), None)
        ending = self._engine.ending_request(request_id, now_s) if status is None and ended is None else None
        if status is None and ended is None and ending is None:
            raise ControlRefused(
                ErrorCode.NOT_FOUND,
                f"there is no request {request_id}, or it ended long ago",
                "`sarathictl requests` lists them",
            )
        settings = self._engine.settings
        iterations = [] if settings is None else self._iterations_under(settings)
        return RequestReasons(
            engine=self._engine.info,
            slo=SLO() if settings is None else settings.slo,
            is_engine_ready=self._engine.is_ready,
            plan=iterations[0].plan if iterations else None,
            status=status or ending,
            ended=ended,
            ended_age_s=None if ended is None else now_s - ended.finished_s,
            wait=None if status is None else self._wait(status, requests, now_s),
            kept_promise=self._promises.find(request_id),
            stalls=tuple(islice(self._stalls(request_id, now_s), MAX_STALLS)),
        )

    def _iterations_under(self, settings: EngineSettings) -> list[IterationStats]:
        """Return those of the latest iterations that ran under the settings in force, newest first."""
        latest = islice(reversed(self._board.iterations), NUM_ITERATIONS)
        return [stats for stats in latest if stats.revision == settings.revision]

    def _wait(self, status: RequestStatus, requests: tuple[RequestStatus, ...], now_s: float) -> WaitReasons | None:
        if status.state in RUNNING or self._engine.info is None:
            return None
        board = self._board
        tbts = board.recent.tbt.histogram(now_s)
        tbt_s = tbts.sum_s / tbts.count if tbts.count else None
        rates = service_rates(board.iterations, board.finished, tbt_s, now_s, RATES_WINDOW_S)
        line = WaitingLine(requests, self._engine.info, board.last, rates, self._engine.deficits)
        promise = self._promises.make(status.request_id, now_s, line.starts_in_s(status.request_id))
        return line.reasons(status.request_id, promise)

    def _stalls(self, request_id: int, now_s: float) -> Iterator[StallReasons]:
        """Yield the stalls of a request that are remembered, newest first."""
        for event in reversed(self._board.stalls):
            own = next((victim for victim in event.victims if victim.request_id == request_id), None)
            if own is not None:
                culprit = self._find_iteration(event.chunk_iteration)
                yield StallReasons(
                    age_s=now_s - event.time_s,
                    tbt_s=own.tbt_s,
                    stall=event,
                    policy=None if culprit is None else culprit.policy,
                    preventing_budget=event.preventing_budget,
                )

    def _find_iteration(self, sequence_number: int | None) -> IterationStats | None:
        found = (stats for stats in reversed(self._board.iterations) if stats.sequence_number == sequence_number)
        return next(found, None)
