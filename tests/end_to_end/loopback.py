"""A daemon that answers on the loopback interface too, to programs that know no Unix sockets."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.running_daemon import RunningDaemon, serving

KEY = "k" * 40


@dataclass(frozen=True, slots=True)
class Loopback:
    """The daemon, and the address at which it answers whoever sends `KEY`, whose name there is `web`."""

    daemon: RunningDaemon
    url: str


@contextmanager
def serving_on_loopback(place: Path, *flags: str) -> Iterator[Loopback]:
    """Give a daemon that is ready, as `serving` does; it keeps its files in `place`."""
    keys = place / "keys"
    keys.touch(0o600)
    keys.write_text(f"web {KEY}\n")
    with serving(place / "run", "--http-port", "0", "--http-keys", str(keys), *flags) as daemon:
        yield Loopback(daemon, re.findall(r"http://127\.0\.0\.1:\d+", daemon.log)[0])
