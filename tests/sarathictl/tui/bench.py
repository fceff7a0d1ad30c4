"""The console over a few seconds of an engine on paper, with posted records and no socket."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input, Label, Static

from sarathictl.client.stats_stream import Link, LinkState, Received
from sarathictl.tui.app import ConsoleApp
from sarathictl.tui.widgets.panel import Panel
from sarathid.clock import VirtualClock
from sarathid.errors import SarathiError
from sarathid.protocol.control import AuditTrail, Cancelled, Draining, GetHistory, History, Kept, Retuned
from sarathid.protocol.plan import Planned
from sarathid.protocol.revisions import Revision
from sarathid.protocol.stats import EngineSettings, RequestStats, SettingsChanged, StallEvent
from tests.sarathictl.plans import make_planned
from tests.sarathictl.records import START_S, PaperEngine, make_request_status, make_settings, make_snapshot


class PostedSource:
    """A source that gives what a test posts."""

    def __init__(self) -> None:
        self.link = Link(LinkState.LIVE, START_S)
        self.posted: list[Received] = []

    def post(self, *items: Any, time_s: float = START_S) -> None:
        self.posted += [Received(time_s, item) for item in items]

    def drain(self) -> list[Received]:
        posted, self.posted = self.posted, []
        return posted


class Operator:
    """Answers the app's operations as a daemon would, and keeps them."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.refusal: SarathiError | None = None
        self.answers: dict[type[Any], Any] = {}
        self.history: tuple[Revision, ...] = ()

    def __call__(self, op: Any, reply_type: type[Any]) -> Any:
        if isinstance(op, GetHistory):
            return History(revisions=self.history)
        self.asked.append(op)
        if self.refusal is not None:
            raise self.refusal
        if reply_type in self.answers:
            return self.answers[reply_type]
        if reply_type is AuditTrail:
            return AuditTrail(entries=(), num_left_out=0)
        if reply_type is Planned:
            return make_planned()
        if reply_type is Kept:
            return Kept(revision=2)
        if reply_type is Draining:
            return Draining(num_in_flight=9, timeout_s=30.0)
        if reply_type is Cancelled:
            return Cancelled(request_id=op.request_id)
        return Retuned(old=make_settings(256), new=make_settings(64, revision=2), iteration=400)


class Bench:
    """An app over a few seconds of an engine on paper."""

    def __init__(self, tmp_path: Path, **options: Any) -> None:
        self.source = PostedSource()
        self.operator = Operator()
        engine = PaperEngine(make_settings(256))
        self.source.post(make_snapshot(make_settings(256), requests=(make_request_status(17),)))
        records = list(engine.run(START_S + 8.0))
        self.stalls = [record for record in records if isinstance(record, StallEvent)]
        self.ended = next(record for record in records if isinstance(record, RequestStats))
        self.source.post(*records)
        self.clock = VirtualClock(engine.now_s)
        self.app = ConsoleApp(
            self.source,
            self.operator,
            self.operator,
            clock=self.clock,
            wall_offset_s=0.0,
            export_dir=tmp_path,
            **options,
        )

    def lines(self) -> list[str]:
        """Return what the panels of the live screen say."""
        panels = [panel for panel in self.app.screen_stack[0].query(Panel) if panel.display]
        return [panel.render_line(y).text for panel in panels for y in range(panel.size.height)]

    def says(self, words: str) -> bool:
        return any(words in line for line in self.lines())


async def until(pilot: Pilot[Any], is_true: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_true():
            return
        await pilot.pause(0.01)
    raise AssertionError("it never came true")


def type_answer(pilot: Pilot[Any], answer: str) -> Awaitable[None]:
    pilot.app.screen.query(Input).first().value = answer
    return pilot.press("enter")


def facts_of(screen: Any) -> str:
    return str(screen.query_one("#facts", Static).content)


def answer_of(screen: Any) -> str:
    return str(screen.query_one("#answer", Label).content)


def changed(settings: EngineSettings) -> SettingsChanged:
    return SettingsChanged(
        time_s=START_S + 8.0,
        iteration=400,
        revision=settings.revision,
        token_budget=settings.token_budget,
        policy=settings.policy,
        slo=settings.slo,
        changed_by="ops",
    )
