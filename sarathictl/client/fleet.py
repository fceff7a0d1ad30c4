"""Several daemons asked how they are, all at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sarathictl.client.contexts import ControlFile
from sarathictl.client.control import ControlAsk
from sarathictl.client.endpoint import SSH_SCHEME, Endpoint, local_endpoint
from sarathid.errors import SarathiError
from sarathid.protocol.control import GetStatus, Status
from sarathid.protocol.roles import Role

if TYPE_CHECKING:
    from sarathictl.client.ssh_bridge import SshBridge

TIMEOUT_S = 2.0
MAX_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What one daemon said of itself, or why it said nothing."""

    name: str
    status: Status | None
    failure: str = ""


class Member:
    """One daemon of the fleet; over ssh it is reached through a bridge that is kept between questions."""

    def __init__(self, name: str, addr: str, endpoint: Endpoint | None = None) -> None:
        self.name = name
        self.addr = addr
        self._endpoint = endpoint
        self._bridge: SshBridge | None = None

    def ask(self, timeout_s: float = TIMEOUT_S) -> Answer:
        """Return what the daemon says of itself."""
        try:
            return Answer(self.name, ControlAsk(self._reach(), timeout_s, limit=Role.READ)(GetStatus(), Status))
        except (SarathiError, TimeoutError) as error:
            return Answer(self.name, None, self._hang_up() or str(error))

    def close(self) -> None:
        """Take the bridge down."""
        self._hang_up()

    def _reach(self) -> Endpoint:
        if self._endpoint is not None:
            return self._endpoint
        if not self.addr.startswith(SSH_SCHEME):
            return local_endpoint(self.addr)
        from sarathictl.client.ssh_bridge import SshBridge, read_ssh_address  # deferred: few daemons are elsewhere

        self._bridge = self._bridge or SshBridge(read_ssh_address(self.addr))
        return self._bridge.endpoint

    def _hang_up(self) -> str:
        """Take the bridge down, to be built anew at the next question; return what ssh said if it failed."""
        bridge, self._bridge = self._bridge, None
        if bridge is None:
            return ""
        bridge.close()
        return bridge.failure


class Fleet:
    """The daemons that have names, and the one that is meant now where it has none."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)

    @classmethod
    def of_file(cls, file: ControlFile, name: str, addr: str, endpoint: Endpoint) -> "Fleet":
        """Return the file's daemons; the one at `endpoint`, `name` at the address `addr`, is among them or first."""
        named = [
            Member(name, context.addr, endpoint if context.addr == addr else None)
            for name, context in sorted(file.contexts.items())
        ]
        is_named = any(member.addr == addr for member in named)
        return cls(named if is_named else [Member(name, addr, endpoint), *named])

    def ask(self, timeout_s: float = TIMEOUT_S) -> list[Answer]:
        """Return what each daemon says of itself, in the members' order."""
        with ThreadPoolExecutor(min(MAX_AT_ONCE, len(self.members))) as pool:
            return list(pool.map(lambda member: member.ask(timeout_s), self.members))

    def close(self) -> None:
        """Take every bridge down."""
        for member in self.members:
            member.close()
