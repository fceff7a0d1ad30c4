"""The command that an operator has run for an alert: one at a time, not too often, never by a shell."""

import json
import shlex
import shutil
import subprocess
import threading
from collections.abc import Mapping
from typing import Any

from sarathid.clock import Clock, MonotonicClock
from sarathid.errors import ConfigError

AT_MOST_EVERY_S = 5.0
TIMEOUT_S = 10.0


class AlertCommand:
    """Runs a command with an event as JSON on its standard input; `num_left_out` events came too soon."""

    def __init__(self, command: str, clock: Clock | None = None) -> None:
        """Read the command as a shell would split it; raises `ConfigError` for one that can't be run."""
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise ConfigError(f"{command!r} can't be read: {error}") from error
        if not self._words or shutil.which(self._words[0]) is None:
            raise ConfigError(f"{command!r} names no program that can be run")
        self._clock = clock or MonotonicClock()
        self._thread: threading.Thread | None = None
        self._ran_s: float | None = None
        self.num_left_out = 0
        self._failure: str | None = None

    def tell(self, event: Mapping[str, Any]) -> bool:
        """Have the command run for an event, unless one runs or ran a moment ago; return whether it is run."""
        now_s = self._clock.now_s()
        is_too_soon = self._ran_s is not None and now_s - self._ran_s < AT_MOST_EVERY_S
        if is_too_soon or (self._thread is not None and self._thread.is_alive()):
            self.num_left_out += 1
            return False
        self._ran_s = now_s
        self._thread = threading.Thread(target=self._run, args=(json.dumps(event),), name="alert", daemon=True)
        self._thread.start()
        return True

    def take_failure(self) -> str | None:
        """Return why the command failed when it ran last, once; None where it did not."""
        failure, self._failure = self._failure, None
        return failure

    def close(self) -> None:
        """Wait for the command that runs."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, text: str) -> None:
        nowhere = subprocess.DEVNULL
        try:
            ended = subprocess.run(
                self._words,
                input=f"{text}\n",
                text=True,
                stdout=nowhere,
                stderr=nowhere,
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self.num_left_out += 1
            self._failure = str(error)
        else:
            if ended.returncode:
                self._failure = f"{self._words[0]} ended with {ended.returncode}; no shell reads the command"
