"""What a rank does all its life: take batches, run its share of each, hand on what comes out."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from torch import Tensor

from sarathid.clock import Clock
from sarathid.executor.batch_memory import BatchReader
from sarathid.executor.input_batch import InputBatch
from sarathid.executor.model_runner import ModelRunner
from sarathid.executor.rank_messages import RankBeat, RankMessage, StageDone
from sarathid.executor.stage_boundary import StageBoundary
from sarathid.executor.stopwatch import Stopwatch
from sarathid.scheduler.batch import Drawn, ScheduledBatch


@dataclass(frozen=True, slots=True)
class ArrivingBatch:
    """A batch whose residual stream is on its way; `received` waits for it, None where tokens are embedded."""

    inputs: InputBatch
    received: Callable[[], Tensor] | None


class StageLoop:
    """Runs rank `index`, of which `say` tells the engine.

    `before` and `behind` are the boundaries to the stages there, None where there is none. Batches are taken as soon as
    they are there, so that residual streams arrive while an earlier batch is computed.
    """

    def __init__(
        self,
        index: int,
        runner: ModelRunner,
        before: StageBoundary | None,
        behind: StageBoundary | None,
        batches: BatchReader,
        say: Callable[[RankMessage], None],
        clock: Clock,
        stopwatch: Stopwatch,
        *,
        speaks: bool,
    ) -> None:
        """`speaks` is for the one rank of a stage that tells what the stage did."""
        self._index = index
        self._runner = runner
        self._before = before
        self._behind = behind
        self._batches = batches
        self._say = say
        self._clock = clock
        self._stopwatch = stopwatch
        self._speaks = speaks
        self._decoder = msgspec.msgpack.Decoder(ScheduledBatch)
        self._arriving: deque[ArrivingBatch] = deque()

    def run(self) -> None:
        """Run batches in order until the engine is gone."""
        while self._take():
            if self._arriving:
                self._compute(self._arriving.popleft())

    def _take(self) -> bool:
        """Take all batches that are there, and wait for one if there is nothing to do; False when that is over."""
        while self._batches.has_more or not self._arriving:
            body = self._batches.take()
            if body is None:
                return False
            if body:
                self._arriving.append(self._receive(self._decoder.decode(body)))
            else:  # the engine asks whether this rank lives, and does so only while nothing is in flight
                self._say(RankBeat(index=self._index, now_s=self._clock.now_s()))
        return True

    def _receive(self, batch: ScheduledBatch) -> ArrivingBatch:
        received = None if self._before is None else self._before.receive(batch.num_tokens)
        return ArrivingBatch(self._runner.inputs(batch), received)

    def _compute(self, batch: ArrivingBatch) -> None:
        received = None if batch.received is None else batch.received()
        self._stopwatch.start()
        hidden = self._runner.forward(batch.inputs, received)
        drawn = Drawn()
        if self._behind is None:
            drawn = self._runner.draw(batch.inputs, hidden)
        else:
            self._behind.send(hidden)
        if self._speaks:
            start_s, busy_s = self._stopwatch.stop()
            self._say(StageDone(index=self._index, start_s=start_s, busy_s=busy_s, drawn=drawn))
