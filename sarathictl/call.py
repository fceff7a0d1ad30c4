"""What the global options say, and what every command gets of them."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sarathictl.ascii_text import ascii_only
from sarathictl.client.contexts import control_file_path, read_control_file
from sarathictl.client.endpoint import SSH_SCHEME, Choice, Daemon, Endpoint, choose_address
from sarathictl.output import Form, print_data, print_json, print_rows, print_words
from sarathid.errors import NotPermitted
from sarathid.protocol.roles import Role

if TYPE_CHECKING:
    from sarathictl.client.control import ControlAsk, ControlClient


DEFAULT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalOptions:
    """What stands before the command, as it was typed."""

    addr: str | None = None
    context: str | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    form: Form = Form.TABLE
    is_colorless: bool = False
    is_ascii: bool = False
    is_read_only: bool = False
    is_sure: bool = False
    is_quiet: bool = False

    def choose(self) -> Choice:
        """Return which daemon is meant; raises `ConfigError` for one that there is not."""
        return choose_address(self.addr, self.context, os.environ, read_control_file(control_file_path()))

    def invocation(self, choice: Choice, endpoint: Endpoint) -> "Invocation":
        """Return what a command gets, for the daemon that is meant."""
        is_read_only = self.is_read_only or choice.is_read_only or bool(os.environ.get("SARATHID_READONLY"))
        return Invocation(
            endpoint=endpoint,
            choice=choice,
            limit=Role.READ if is_read_only else Role.ADMIN,
            is_sure=self.is_sure,
            timeout_s=self.timeout_s,
            form=self.form,
            is_quiet=self.is_quiet,
            has_color=terminal_has_color(self.is_colorless),
            is_ascii=terminal_is_ascii(self.is_ascii),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of `sarathictl`: which daemon and what chose it, what may be done there, how patient, and how to print.

    `limit` is the most that is asked of the daemon, whatever it would permit.
    """

    endpoint: Endpoint
    choice: Choice
    limit: Role = Role.ADMIN
    is_sure: bool = False
    timeout_s: float
    form: Form
    is_quiet: bool
    has_color: bool
    is_ascii: bool

    def connect(self) -> "ControlClient":
        """Return a connection to the daemon's control socket; raises `NotReachable`."""
        from sarathictl.client.control import ControlClient  # deferred: `--help` needs no socket

        return ControlClient(self.endpoint.control, self.timeout_s, limit=self.limit)

    def ask(self, timeout_s: float | None = None) -> "ControlAsk":
        """Return what asks the daemon from any thread, and waits `timeout_s` for an answer, by default as asked."""
        from sarathictl.client.control import ControlAsk  # deferred: `--help` needs no socket

        return ControlAsk(self.endpoint, timeout_s or self.timeout_s, limit=self.limit)

    @property
    def daemon(self) -> Daemon:
        """What the daemon is called: its name in ctl.toml, else its host, else the last part of its directory."""
        choice = self.choice
        if choice.context is not None:
            return Daemon(choice.context, True, choice.color)
        if choice.addr.startswith(SSH_SCHEME):
            return Daemon(choice.addr.removeprefix(SSH_SCHEME))
        return Daemon(self.endpoint.runtime_dir.absolute().name)

    @property
    def program(self) -> str:
        """How this program is called to mean the same daemon."""
        if self.choice.origin == "--addr":
            return shlex.join(["sarathictl", "-A", self.choice.addr])
        if self.choice.origin.startswith("--context "):
            return shlex.join(["sarathictl", "-c", self.choice.origin.removeprefix("--context ")])
        return "sarathictl"

    @property
    def is_json(self) -> bool:
        """Whether objects are wanted instead of words."""
        return self.form in (Form.JSON, Form.JSONL)

    @property
    def is_wide(self) -> bool:
        """Whether words may take as much room as they need."""
        return self.form is Form.WIDE

    def check_may(self, needed: Role) -> None:
        """Raise `NotPermitted` when less than the role `needed` was asked for."""
        if not self.limit.includes(needed):
            raise NotPermitted("only reading was asked for (--read-only)")

    def answer(self, fields: Mapping[str, Any], text: str) -> None:
        """Print what was asked for: `text` if there is any, or `fields` where another form is wanted."""
        if self.form is Form.JSON:
            print_json(fields)
        elif self.form not in (Form.TABLE, Form.WIDE):
            print_rows(fields, self.form)
        elif text:
            self.print(text)

    def print(self, text: str) -> None:
        """Print lines of an answer in words."""
        print_data(ascii_only(text) if self.is_ascii else text)

    def say(self, text: str) -> None:
        """Print words for a person on stderr, unless asked to be quiet."""
        if not self.is_quiet:
            print_words(ascii_only(text) if self.is_ascii else text)


def terminal_has_color(is_forbidden: bool) -> bool:
    """Return whether colours are wanted: not forbidden by flag, `$NO_COLOR` or a dumb terminal."""
    return not (is_forbidden or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb")


def terminal_is_ascii(is_wanted: bool) -> bool:
    """Return whether only ASCII may be drawn: by flag, by the C locale, or because the terminal's encoding has no more.

    Of the C locale Python says that its encoding is UTF-8 (PEP 540).
    """
    is_c_locale = os.environ.get("LC_ALL") in ("C", "POSIX")
    return (
        is_wanted or is_c_locale or (sys.stdout.encoding or "ascii").lower().replace("-", "") not in ("utf8", "utf16")
    )
