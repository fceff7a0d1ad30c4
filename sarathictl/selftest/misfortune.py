"""What befalls an engine under load: killed or stopped, at a moment that the stats stream tells."""

import asyncio
import random
import signal
from enum import StrEnum

from sarathictl.selftest.engine_process import engine_pids, send_signal
from sarathictl.selftest.witness import Witness
from sarathid.protocol.control import DaemonState
from sarathid.protocol.stats import IterationScheduled, IterationStats

MOST_DECODES_AWAITED = 30
LONGEST_START_S = 6.0


class Moment(StrEnum):
    """When the engine is killed; `STOP` is a stop instead, while it decodes."""

    PREFILL = "prefill"
    FIRST_TOKEN = "first token"
    DECODE = "decode"
    PREEMPTION = "preemption"
    START = "its successor's start"
    STOP = "stop"


class Misfortune:
    """One blow to the engine of the daemon with `daemon_pid`, at `moment`."""

    def __init__(self, moment: Moment, daemon_pid: int, witness: Witness, rng: random.Random) -> None:
        self.moment = moment
        self._daemon_pid = daemon_pid
        self._witness = witness
        self._rng = rng

    async def strike(self) -> None:
        """Wait for the moment, and strike."""
        await self._moment()
        number = signal.SIGSTOP if self.moment is Moment.STOP else signal.SIGKILL
        send_signal(engine_pids(self._daemon_pid), number)
        if self.moment is Moment.START:
            await self._witness.state(DaemonState.RESTARTING)
            await asyncio.sleep(self._rng.uniform(0.0, LONGEST_START_S))
            send_signal(engine_pids(self._daemon_pid), signal.SIGKILL)

    async def _moment(self) -> None:
        match self.moment:
            case Moment.PREFILL:
                await self._witness.first(IterationScheduled, lambda iteration: bool(iteration.chunks))
            case Moment.FIRST_TOKEN:
                await self._witness.first(IterationStats, lambda iteration: bool(iteration.first_tokens))
            case Moment.PREEMPTION:
                await self._witness.first(IterationStats, lambda iteration: bool(iteration.preempted))
            case _:
                for _ in range(self._rng.randint(1, MOST_DECODES_AWAITED)):
                    await self._witness.first(IterationStats, lambda iteration: iteration.num_decode_tokens > 0)
