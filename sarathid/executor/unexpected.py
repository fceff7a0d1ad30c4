"""An error that nobody expected: all of it for the log, and of it no more than a number for whoever asks."""

import secrets
import traceback
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class UnexpectedFault:
    """As a string it says nothing of what happened but under which number the log tells it."""

    number: str
    trace: str

    @classmethod
    def caught(cls) -> Self:
        """Return the fault of the exception that is being handled."""
        return cls(secrets.token_hex(4), traceback.format_exc())

    def __str__(self) -> str:
        return f"something unexpected happened, of which the log tells under fault {self.number}"

    @property
    def for_log(self) -> str:
        """All that is known of it, in lines."""
        return f"fault {self.number}\n{self.trace}"
