"""A terminal of its own: a shell in tmux, typed into and read back."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.running_daemon import wait_until


class Terminal:
    """One pane of a tmux server that nobody else talks with."""

    def __init__(self, socket: Path, width: int, height: int) -> None:
        self._socket = socket
        of_others = ("COLUMNS", "LINES")  # the size of whoever runs the tests
        environment = {name: value for name, value in os.environ.items() if name not in of_others}
        environment |= {"LC_ALL": "C.UTF-8", "ENV": ""}
        size = ("-x", str(width), "-y", str(height))
        subprocess.run(
            ["tmux", "-f", os.devnull, "-S", socket, "new-session", "-d", *size, "/bin/sh"], env=environment, check=True
        )

    def close(self) -> None:
        self._tmux("kill-server")

    def type(self, text: str) -> None:
        """Type a line and end it."""
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def screen(self, *flags: str) -> str:
        """Return what stands on it; with `-e`, with the codes of its colours."""
        return self._tmux("capture-pane", "-p", *flags)

    def wait_for(self, words: str) -> None:
        try:
            wait_until(lambda: words in self.screen(), f"{words!r} on the terminal", 60.0)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.screen()}") from None

    def wait_while(self, is_so: Callable[[str], bool], what: str) -> None:
        wait_until(lambda: not is_so(self.screen()), what, 60.0)

    @property
    def is_as_it_was(self) -> bool:
        """Whether the alternate screen was left and the cursor is shown."""
        return self._tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}") == "0 1 0\n"

    def _tmux(self, *words: str) -> str:
        return subprocess.run(["tmux", "-S", self._socket, *words], check=True, capture_output=True, text=True).stdout


@contextmanager
def open_terminal(directory: Path, width: int = 120, height: int = 36) -> Iterator[Terminal]:
    """Give a terminal with a shell that listens."""
    terminal = Terminal(directory / "tmux.sock", width, height)
    try:
        terminal.type("echo; echo here")  # on a line of its own even if the prompt comes after what is typed
        terminal.wait_for("\nhere")
        yield terminal
    finally:
        terminal.close()
