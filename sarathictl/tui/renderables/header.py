"""The two lines on top: what runs under which settings, whether the picture is live, and how the targets fare."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from sarathictl import units
from sarathictl.client.endpoint import Daemon
from sarathictl.client.stats_stream import Link, LinkState
from sarathictl.state.alerts import Alert
from sarathictl.state.engine_view import EngineView, LatencyFigures
from sarathictl.state.playhead import Transport
from sarathictl.state.why_budget import budget_now_in_words
from sarathictl.tui.renderables.line import Piece, as_many_as_fit, column_of, fit, line, spread
from sarathictl.tui.renderables.look import Look
from sarathid.protocol.control import DaemonState
from sarathid.protocol.roles import Role

FLASH_S = 5.0
_LATE_SHARE = 0.01  # a target is a P99
# Spans of TBT, whether the course of the last minute is drawn, whether alerts are terse: the first that fits.
_WAYS = (
    (3, True, False),
    (2, True, False),
    (3, False, False),
    (2, False, False),
    (1, False, False),
    (1, False, True),
)
_BETWEEN = " │ "
MIN_WIDTH_FOR_ROLE = 60
_ROLES = {Role.READ: "VIEW", Role.INFER: "INFER", Role.OPERATE: "OPERATE", Role.ADMIN: "ADMIN"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How the engine is being watched: over which link, at which rate, and at which moment where that is not now.

    `paused_s` is the moment on hold while others go on, `saved_s` for how long records have been saved to a file, both
    None where that is not so. `wall_offset_s` added to monotonic seconds gives seconds since the epoch. `role` is what
    may be done from here, None while the daemon has not said; it `is_recorded` unless it says that its flight recorder
    is off, and `is_slowed` where the terminal takes less than was drawn. `alerts` are what is above its threshold now,
    `daemon` is what it is called.
    """

    link: Link
    now_s: float
    wall_offset_s: float
    rate_hz: float = 4.0
    paused_s: float | None = None
    transport: Transport | None = None
    saved_s: float | None = None
    role: Role | None = None
    is_recorded: bool = True
    is_slowed: bool = False
    alerts: tuple[Alert, ...] = ()
    daemon: Daemon | None = None


def draw_header(view: EngineView, watch: Watch, width: int, look: Look) -> Text:
    """Return the first line: model, device, budget and policy at the left, the link at the right."""
    right = line(
        [
            (" ", look.plain),
            *_badges(view, watch, look),
            (f"  {_clock(watch)} ", look.faint),
            *_role(watch, width, look),
        ]
    )
    left = as_many_as_fit([*_name(watch, look), *_identity(view, look)], width - right.cell_len)
    return spread(left, right, width)


def draw_targets(view: EngineView, watch: Watch, width: int, look: Look) -> Text:
    """Return the second line: TBT by span and TTFT against their targets, or why the link is not live."""
    if watch.link.message:
        return fit(line([(f" {watch.link.message}", look.over)]), width)
    for num_spans, has_course, is_terse in _WAYS:
        alert = _alert(watch, look, is_terse=is_terse)
        room = width - alert.cell_len
        pieces = list(_targets(view, view.tbt[:num_spans], look, has_course=has_course))
        text, goodput = Text(_BETWEEN).join(pieces), _goodput(view, look)
        if text.cell_len + (goodput.cell_len if has_course else 0) <= room:
            return spread(as_many_as_fit([text, goodput], room, ""), alert, width)
    return spread(as_many_as_fit(pieces, room, _BETWEEN), alert, width)


def _alert(watch: Watch, look: Look, *, is_terse: bool) -> Text:
    """Return what is above its threshold, by its name alone where that is to be terse; it flashes while it is new."""
    if not watch.alerts:
        return Text()
    newest = max(watch.alerts, key=lambda alert: alert.time_s)
    is_lit = watch.now_s - newest.time_s > FLASH_S or int(watch.now_s + watch.wall_offset_s) % 2 == 0
    others = f" +{len(watch.alerts) - 1}" if len(watch.alerts) > 1 else ""
    words = newest.name if is_terse else newest.words
    return line([(f" ! {words}{others} ", look.alarm if is_lit else look.over)])


def _role(watch: Watch, width: int, look: Look) -> Iterator[Piece]:
    if watch.role is not None and width >= MIN_WIDTH_FOR_ROLE:
        yield f"{_ROLES[watch.role]} ", look.strong if watch.role.includes(Role.OPERATE) else look.faint


def _targets(view: EngineView, tbt: Sequence[LatencyFigures], look: Look, *, has_course: bool) -> Iterator[Text]:
    """Yield how the targets fare, what matters most first."""
    tbt_s, ttft_s = view.slo.tbt_s, view.slo.ttft_s
    verdicts = [piece for figures in tbt for piece in _verdict(figures, figures.p99_s, tbt_s, look)]
    yield line([(" TBT p99", look.plain), *_target(tbt_s, look), *verdicts])
    verdict = _verdict(view.ttft, view.ttft.p95_s, ttft_s, look)
    yield line([("TTFT p95", look.plain), *_target(ttft_s, look), *verdict])
    if view.attainment is not None and tbt_s is not None:
        course = _course(view.attainments, look) if has_course else ()
        yield line([("in time ", look.plain), (units.share(view.attainment), look.strong), *course])
    yield line([(f"{view.output_rate:.0f} tok/s", look.strong)])


def _course(attainments: Sequence[float | None], look: Look) -> Iterator[Piece]:
    """Yield a column a share, in the colour of a miss where too much was late; one is full only where nothing was."""
    yield " ", look.plain
    for share in attainments:
        if share is None:
            yield "·", look.faint
        else:
            is_missed = share < 1.0 - _LATE_SHARE
            yield (
                column_of(share if share == 1.0 else min(max(share, 1 / 8), 7 / 8)),
                look.over if is_missed else look.plain,
            )


def _goodput(view: EngineView, look: Look) -> Text:
    """Return how many tokens a second came in time, where not all did."""
    if view.slo.tbt_s is None or round(view.goodput) >= round(view.output_rate):
        return Text()
    return line([(", goodput ", look.plain), (f"{view.goodput:.0f}", look.strong)])


def _name(watch: Watch, look: Look) -> Iterator[Text]:
    """Yield the name that somebody gave the daemon, in its colour."""
    if watch.daemon is not None and watch.daemon.is_named:
        color = watch.daemon.color
        yield line([(f" {watch.daemon.name} ", look.strong if color is None else look.badge(color))])


def _identity(view: EngineView, look: Look) -> Iterator[Text]:
    if view.info is not None:
        yield line([(f" {units.printable(view.info.model)}", look.strong)])
    else:
        yield line([(" sarathid", look.strong)])
    if view.settings is not None:
        budget = budget_now_in_words(view.settings, view.samples)
        yield line([("budget ", look.plain), (budget, look.strong), (f" (r{view.settings.revision})", look.faint)])
        yield line([(view.settings.policy, look.plain)])
    if view.info is not None:
        dtype = "" if view.info.dtype == "none" else f" {view.info.dtype}"  # simulated devices hold no numbers
        yield line([(f"{view.info.device}{dtype}", look.faint)])
        yield line([(view.info.layout, look.faint)])


def _badges(view: EngineView, watch: Watch, look: Look) -> Iterator[Piece]:
    if watch.link.num_malformed:
        yield f"{watch.link.num_malformed} malformed  ", look.over
    if watch.link.num_missed:
        yield f"{watch.link.num_missed} missed  ", look.over
    if watch.is_slowed:
        yield " SLOW LINK ", look.notice
        yield " ", look.plain
    if not watch.is_recorded:
        yield " NOT RECORDED ", look.notice
        yield " ", look.plain
    if watch.saved_s is not None:
        yield f"rec ● {units.duration(watch.saved_s)} ", look.over
    yield _link_badge(view, watch, look)
    if watch.paused_s is not None:
        yield " ", look.plain
        yield f" ‖ PAUSED −{units.duration(watch.now_s - watch.paused_s)} ", look.notice


def _link_badge(view: EngineView, watch: Watch, look: Look) -> Piece:
    since = units.duration(max(0.0, watch.now_s - watch.link.since_s))
    match watch.link.state:
        case LinkState.DOWN:
            return f" ✘ DISCONNECTED {since}, trying again ", look.alarm
        case LinkState.FOREIGN:
            return " ≠ OTHER VERSION ", look.alarm
        case LinkState.FROZEN:
            return f" ▪ FROZEN {since} ", look.alarm
        case LinkState.SILENT:
            return f" ◌ STALE {since} ", look.notice
        case LinkState.RECORDED:
            return " ▶ REPLAY ", look.notice
        case LinkState.CONNECTING:
            return " ◌ CONNECTING ", look.notice
        case LinkState.LIVE:
            if view.daemon_state == DaemonState.READY:
                return f"● LIVE {watch.rate_hz:g} Hz", look.strong
            return f" ◌ {_state_in_words(view.daemon_state)} ", look.notice


def _state_in_words(state: str) -> str:
    """Return how the daemon is; its being paused must not look like a picture on hold."""
    return "TAKES NOTHING NEW" if state == DaemonState.PAUSED else state.upper()


def _clock(watch: Watch) -> str:
    return units.clock_time(watch.now_s + watch.wall_offset_s)


def _target(target_s: float | None, look: Look) -> list[Piece]:
    return [] if target_s is None else [(f"≤{units.short_duration(target_s)}", look.slo)]


def _verdict(figures: LatencyFigures, value_s: float | None, target_s: float | None, look: Look) -> list[Piece]:
    span = f"  {units.duration_name(figures.span_s).replace(' ', '')} "
    if value_s is None:
        return [(span, look.faint), (units.ABSENT, look.faint)]
    if target_s is None:
        return [(span, look.faint), (units.short_duration(value_s), look.plain)]
    mark, style = ("✘", look.over) if value_s > target_s else ("✔", look.plain)
    return [(span, look.faint), (f"{mark}{units.short_duration(value_s)}", style)]
