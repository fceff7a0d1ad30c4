"""How long a process waits for a processor that others have: time in which it can't be blamed for its silence."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class _Times(NamedTuple):
    """Nanoseconds that a thread has run, and has waited to run."""

    run_ns: int
    wait_ns: int

    def since(self, earlier: "_Times") -> "_Times":
        return _Times(self.run_ns - earlier.run_ns, self.wait_ns - earlier.wait_ns)


class Starvation:
    """Follows a process and its children, by what the kernel counts for each of their threads.

    Where the kernel does not count, or once the process is gone, nobody is taken to wait.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen = dict(_threads(pid))

    def waited_s(self) -> float:
        """Return the seconds since the last call for which the thread waited that wanted to run most.

        A process that is stopped, or sleeps, wants nothing.
        """
        now = dict(_threads(self._pid))
        spans = [times.since(self._seen[thread]) for thread, times in now.items() if thread in self._seen]
        self._seen = now
        return max(spans, key=sum, default=_Times(0, 0)).wait_ns / 1e9


def _threads(pid: int) -> Iterator[tuple[int, _Times]]:
    """Yield the threads of a process and of its children, with their times."""
    for process in (pid, *_children(pid)):
        for thread in _entries(Path(f"/proc/{process}/task")):
            fields = _words(thread / "schedstat")
            if len(fields) >= 2:
                yield int(thread.name), _Times(int(fields[0]), int(fields[1]))


def _children(pid: int) -> Iterator[int]:
    for thread in _entries(Path(f"/proc/{pid}/task")):
        yield from map(int, _words(thread / "children"))


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except OSError:
        return []
