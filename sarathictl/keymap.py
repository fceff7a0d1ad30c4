"""The keys of the console in one list: what they are bound to, the help and the manual come from it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

MOST_WRITTEN = 4


class Place(StrEnum):
    """Where a key does what it does, and what the help calls that."""

    EVERYWHERE = "everywhere"
    TIME = "time"
    CHANGES = "changes"
    LIVE = "live screen"
    TAPE = "tape"
    REQUESTS = "requests"
    STALL_LIST = "list of stalls"
    REQUEST_LIST = "list of requests"
    CHANGE_LIST = "list of changes"
    EVENT_LIST = "list of events"
    VALUE = "value of a change"
    CHANGE = "change"
    QUESTION = "question"
    STALL = "one stall"
    REASONS = "reasons"
    DRAIN = "drain"
    GO_TO = "moment"
    HELP = "help"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its name as Textual knows it, several separated by commas, what it runs, and a word for what it does.

    `sign` is how it is written where that is not its name; one that `is_first` goes before what has the focus.
    """

    name: str
    action: str
    word: str
    sign: str = ""
    is_first: bool = False

    @property
    def written(self) -> str:
        """The key as a person reads it."""
        return self.sign or self.name


@dataclass(frozen=True, slots=True)
class Entry:
    """Keys that belong together, in a line of words; `command` does the same from a shell."""

    place: Place
    words: str
    keys: tuple[Key, ...] = field(default=())
    command: str = ""

    @property
    def written(self) -> str:
        """The keys as a person reads them."""
        if len(self.keys) > MOST_WRITTEN:
            return f"{self.keys[0].name} to {self.keys[-1].name}"
        return " ".join(key.written for key in self.keys)


KEYMAP = (
    Entry(Place.EVERYWHERE, "what the keys do", (Key("question_mark", "help", "help", "?"),)),
    Entry(
        Place.EVERYWHERE,
        "live, requests, stalls, latency, tuning, fleet, events",
        (
            Key("1", "view('live')", "live"),
            Key("2", "view('requests')", "requests"),
            Key("3", "view('stalls')", "stalls"),
            Key("4", "view('latency')", "latency"),
            Key("5", "view('tuning')", "tuning"),
            Key("6", "view('fleet')", "fleet"),
            Key("7", "view('events')", "events"),
        ),
        "top --view NAME",
    ),
    Entry(
        Place.EVERYWHERE,
        "a replay beside what other settings would have given",
        (Key("8", "compare", "compare"),),
        "replay FILE --budget N",
    ),
    Entry(Place.EVERYWHERE, "find what can be done, by its name", (Key("ctrl+p", "command_palette", "find", "^p"),)),
    Entry(Place.EVERYWHERE, "the next list", (Key("tab", "app.focus_next", "next list"),)),
    Entry(Place.EVERYWHERE, "why the budget is what it is", (Key("w", "why", "why"),), "why"),
    Entry(Place.EVERYWHERE, "copy the command that prints this screen", (Key("y", "copy", "copy as command"),)),
    Entry(Place.EVERYWHERE, "save the picture as SVG", (Key("e", "export", "picture"),), "top --svg FILE"),
    Entry(Place.EVERYWHERE, "other colours", (Key("t", "next_theme", "theme"),)),
    Entry(
        Place.EVERYWHERE,
        "more pictures a second, or fewer",
        (Key("plus,equals_sign", "change_rate(1)", "faster", "+"), Key("minus", "change_rate(-1)", "slower", "-")),
        "top --rate HZ",
    ),
    Entry(
        Place.EVERYWHERE,
        "quit",
        (Key("q", "quit", "quit"), Key("ctrl+c", "quit", "quit", "^c", is_first=True)),
    ),
    Entry(
        Place.TIME,
        "hold the picture, let go; play a replay",
        (Key("space", "pause", "pause"),),
    ),
    Entry(
        Place.TIME,
        "an iteration back or on",
        (Key("left", "step(-1)", "step back", "←"), Key("right", "step(1)", "step on", "→")),
    ),
    Entry(
        Place.TIME,
        "a second back or on",
        (Key("shift+left", "shift(-1)", "second back", "⇧←"), Key("shift+right", "shift(1)", "second on", "⇧→")),
    ),
    Entry(
        Place.TIME,
        "the oldest moment, and now",
        (Key("home", "go_to_start", "oldest"), Key("end", "go_to_end", "now")),
    ),
    Entry(Place.TIME, "a moment: 14:32:06, or -90s", (Key("ctrl+o", "go_to", "go to", "^o"),)),
    Entry(
        Place.TIME,
        "the next stall, and the one before",
        (Key("n", "go_to_stall(1)", "next stall"), Key("N", "go_to_stall(-1)", "stall before")),
    ),
    Entry(
        Place.TIME,
        "the next change, and the one before",
        (
            Key("right_curly_bracket", "go_to_change(1)", "next change", "}"),
            Key("left_curly_bracket", "go_to_change(-1)", "change before", "{"),
        ),
    ),
    Entry(Place.TIME, "record to a file, and end that", (Key("r", "record", "record"),), "record --out FILE"),
    Entry(
        Place.TIME,
        "play a replay faster or slower",
        (
            Key("greater_than_sign", "change_speed(1)", "play faster", ">"),
            Key("less_than_sign", "change_speed(-1)", "play slower", "<"),
        ),
    ),
    Entry(Place.TIME, "the ends of a loop in a replay", (Key("a", "mark_loop", "loop"),)),
    Entry(Place.CHANGES, "token budget", (Key("b", "retune('budget')", "budget"),), "set-budget N"),
    Entry(Place.CHANGES, "latency targets", (Key("o", "retune('slo')", "SLO"),), "set-slo tbt=100ms"),
    Entry(Place.CHANGES, "scheduling policy", (Key("p", "retune('policy')", "policy"),), "set-policy NAME"),
    Entry(Place.CHANGES, "keep the newest change", (Key("k", "keep", "keep"),), "keep"),
    Entry(Place.CHANGES, "undo it", (Key("u", "undo", "undo"),), "undo"),
    Entry(Place.CHANGES, "cancel the marked request", (Key("K", "cancel_request", "cancel"),), "cancel ID"),
    Entry(Place.CHANGES, "take nothing new, or again", (Key("P", "pause_or_resume", "pause daemon"),), "pause"),
    Entry(Place.CHANGES, "drain and stop the daemon", (Key("D", "drain", "drain"),), "drain"),
    Entry(Place.LIVE, "time, or one column an iteration", (Key("x", "switch_axis", "axis"),)),
    Entry(Place.TAPE, "coarser, finer", (Key("z", "zoom(1)", "zoom out"), Key("Z", "zoom(-1)", "zoom in"))),
    Entry(
        Place.REQUESTS,
        "sort by the next column, turn round",
        (Key("s", "sort", "sort"), Key("S", "reverse", "reverse")),
        "requests --sort COLUMN",
    ),
    Entry(
        Place.REQUESTS,
        "show those alone that pass a filter",
        (Key("slash", "filter", "filter", "/"),),
        "requests --filter WORDS",
    ),
    Entry(Place.REQUESTS, "show all again", (Key("escape", "leave_filter", "all", "esc"),)),
    Entry(
        Place.STALL_LIST,
        "mark a newer or an older stall",
        (Key("up", "move(-1)", "newer", "↑"), Key("down", "move(1)", "older", "↓")),
        "stalls",
    ),
    Entry(Place.STALL_LIST, "go with the newest again", (Key("escape", "let_go", "newest", "esc"),)),
    Entry(Place.STALL_LIST, "why it stalled", (Key("enter", "explain", "explain", "enter"),), "why ID"),
    Entry(Place.STALL_LIST, "the change that would have prevented it", (Key("f", "fix", "fix"),)),
    Entry(
        Place.REQUEST_LIST,
        "mark another request",
        (Key("up", "move(-1)", "one up", "↑"), Key("down", "move(1)", "one down", "↓")),
        "requests",
    ),
    Entry(
        Place.REQUEST_LIST,
        "follow it: it stays on top and its end is told; let go of it",
        (Key("m", "follow", "follow"),),
    ),
    Entry(Place.REQUEST_LIST, "why it waits or stalled", (Key("enter", "explain", "explain", "enter"),), "why ID"),
    Entry(
        Place.CHANGE_LIST,
        "mark another change",
        (Key("up", "move(1)", "newer", "↑"), Key("down", "move(-1)", "older", "↓")),
        "history",
    ),
    Entry(Place.CHANGE_LIST, "go with the newest again", (Key("escape", "let_go", "newest", "esc"),)),
    Entry(
        Place.EVENT_LIST,
        "newer, older",
        (Key("up", "move(-1)", "newer", "↑"), Key("down", "move(1)", "older", "↓")),
        "events",
    ),
    Entry(
        Place.EVENT_LIST,
        "newer and older by ten",
        (Key("pageup", "move(-10)", "ten newer"), Key("pagedown", "move(10)", "ten older")),
    ),
    Entry(Place.EVENT_LIST, "go with the newest again", (Key("escape", "let_go", "newest", "esc"),)),
    Entry(
        Place.EVENT_LIST,
        "one kind of event after another",
        (Key("s", "next_kind", "kind"),),
        "events --type KIND",
    ),
    Entry(
        Place.VALUE,
        "a tile less or more",
        (Key("left", "step(-1, 0)", "one tile less", "←"), Key("right", "step(1, 0)", "one tile more", "→")),
    ),
    Entry(
        Place.VALUE,
        "a token less or more",
        (
            Key("shift+left", "step(0, -1)", "one token less", "⇧←"),
            Key("shift+right", "step(0, 1)", "one token more", "⇧→"),
        ),
    ),
    Entry(
        Place.VALUE,
        "auto, profiled",
        (
            Key("a", "write('auto')", "auto", is_first=True),
            Key("p", "write('profiled')", "profiled", is_first=True),
        ),
    ),
    Entry(
        Place.CHANGE,
        "copy the command that does the same",
        (Key("ctrl+y", "copy", "copy as command", "^y", is_first=True),),
    ),
    Entry(
        Place.CHANGE,
        "what a row of budgets would have given, and the one alone again",
        (Key("ctrl+t", "try_budgets", "row of budgets", "^t", is_first=True),),
        "plan --budgets LOW:HIGH",
    ),
    Entry(Place.CHANGE, "leave all as it is", (Key("escape", "dismiss(None)", "close", "esc"),)),
    Entry(
        Place.QUESTION,
        "yes, no",
        (Key("y", "answer(True)", "yes"), Key("n,escape,enter,q", "answer(False)", "no", "n")),
    ),
    Entry(Place.QUESTION, "copy the command that does the same", (Key("ctrl+y", "copy", "copy as command", "^y"),)),
    Entry(Place.STALL, "the change that would have prevented it", (Key("f", "wish('fix')", "fix"),)),
    Entry(Place.STALL, "the request whose prompt it was", (Key("r", "wish('cause')", "request"),), "why ID"),
    Entry(Place.STALL, "the tape at its end", (Key("t", "wish('moment')", "tape"),)),
    Entry(Place.STALL, "close", (Key("escape,enter,q", "dismiss(None)", "close", "esc"),)),
    Entry(Place.REASONS, "ask again", (Key("w", "ask", "ask again"),)),
    Entry(Place.REASONS, "close", (Key("escape,enter,q", "dismiss", "close", "esc"),)),
    Entry(Place.DRAIN, "copy the command that does the same", (Key("ctrl+y", "copy", "copy", "^y", is_first=True),)),
    Entry(Place.DRAIN, "leave it running", (Key("escape", "dismiss(False)", "close", "esc"),)),
    Entry(Place.GO_TO, "stay", (Key("escape", "dismiss(None)", "close", "esc"),)),
    Entry(Place.HELP, "close", (Key("escape,enter,q,question_mark", "dismiss", "close", "esc"),)),
)

# What stands on the line of keys where it does something, the first of them first and `quit` always, each with the
# sign and the word that it has there, where those are not its own.
LINE = {
    "help": None,
    "explain": None,
    "fix": None,
    "next_kind": None,
    "retune('budget')": None,
    "pause": None,
    "view('live')": ("1-7", "screens"),
    "compare": None,
    "filter": None,
    "sort": None,
    "command_palette": None,
    "retune('slo')": None,
    "why": None,
    "undo": None,
    "cancel_request": None,
    "quit": None,
}
SCREEN_PLACES = tuple(Place)[: list(Place).index(Place.VALUE)]  # those of no dialog, which say their keys themselves


def entries_at(*places: Place) -> Iterator[Entry]:
    """Yield the entries of these places, in the order of the list."""
    return (entry for entry in KEYMAP if entry.place in places)
