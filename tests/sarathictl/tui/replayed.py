"""The console over recordings of the engine on paper, under a clock that a test moves."""

from typing import Any

from textual.pilot import Pilot

from sarathictl.client.tape_source import TapePair, TapeSource
from sarathictl.state.engine_log import EngineLog
from sarathictl.state.twin import Twin
from sarathictl.tui.app import ConsoleApp
from sarathid.clock import VirtualClock
from sarathid.tape.tape import Tape
from tests.sarathictl.paper_tape import WALL_OFFSET_S, make_tape
from tests.sarathictl.plans import make_planned
from tests.sarathictl.records import START_S, make_settings
from tests.sarathictl.tui.bench import Operator, until

BEHIND_S = 40.0


class Replayed:
    """An app over twelve recorded seconds under a budget of 1024; its twin had 128, on a clock that is behind."""

    def __init__(self, *, tape: Tape | None = None, has_twin: bool = False, **options: Any) -> None:
        tape = tape or make_tape()
        self.clock = VirtualClock(START_S)
        self.log = EngineLog(tape.header.columns)
        source: Any = TapeSource(self.log.open(tape.frames), "run.srec", self.log.survey)
        twin = None
        if has_twin:
            other, other_log = make_tape(settings=make_settings(128), start_s=START_S - BEHIND_S), EngineLog()
            source = TapePair(source, TapeSource(other_log.open(other.frames), "what if", other_log.survey))
            planned = make_planned(make_settings(128))
            twin = Twin(log=other_log, behind_s=BEHIND_S, planned=planned)
        self.source = source
        self.app = ConsoleApp(
            source,
            Operator(),
            Operator(),
            clock=self.clock,
            wall_offset_s=WALL_OFFSET_S,
            recording=self.log,
            twin=twin,
            **options,
        )

    async def until_read(self, pilot: Pilot[Any]) -> None:
        """Return once everything is read, stopped at the beginning."""
        await until(pilot, lambda: not self.source.link.message)
        self.app.tick()
        transport = self.app._playhead.transport
        assert transport is not None
        if transport.is_playing:
            self.app.action_pause()
        await pilot.pause()
