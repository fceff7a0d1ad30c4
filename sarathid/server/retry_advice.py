"""When a refused client does best to come back: reckoned from the line that waits and the rates of service."""

import math

from sarathid.clock import Clock
from sarathid.engine.client import EngineClient
from sarathid.server.waiting_line import RUNNING, WaitingLine
from sarathid.telemetry.board import Board
from sarathid.telemetry.service_rates import service_rates

RATES_WINDOW_S = 30.0
VALID_S = 1.0
MOST_S = 600


class RetryAdvice:
    """Reckons at most once a second, since under overload every refusal asks."""

    def __init__(self, engine: EngineClient, board: Board, clock: Clock) -> None:
        self._engine = engine
        self._board = board
        self._clock = clock
        self._seconds = 1
        self._valid_until_s = -math.inf

    def seconds(self) -> int:
        """Return in how many whole seconds those who wait now will have started, or a running one ended if none waits.

        Where nothing was served lately, it is the window that was looked back on.
        """
        now_s = self._clock.now_s()
        if now_s >= self._valid_until_s:
            expected_s = self._expected_s(now_s)
            self._seconds = min(MOST_S, max(1, math.ceil(RATES_WINDOW_S if expected_s is None else expected_s)))
            self._valid_until_s = now_s + VALID_S
        return self._seconds

    def _expected_s(self, now_s: float) -> float | None:
        engine, board = self._engine, self._board
        tbts = board.recent.tbt.histogram(now_s)
        tbt_s = tbts.sum_s / tbts.count if tbts.count else None
        rates = service_rates(board.iterations, board.finished, tbt_s, now_s, RATES_WINDOW_S)
        requests = engine.list_requests(now_s)
        last_id = next((found.request_id for found in reversed(requests) if found.state not in RUNNING), None)
        if last_id is not None and engine.info is not None:
            return WaitingLine(requests, engine.info, board.last, rates, engine.deficits).starts_in_s(last_id)
        return 1.0 / rates.ends_per_s if rates.ends_per_s else None
