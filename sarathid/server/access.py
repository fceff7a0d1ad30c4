"""Who may do what: the daemon's own user everything, others what they were granted, and nobody else anything."""

import logging
from dataclasses import dataclass

from sarathid.config import Grants
from sarathid.protocol.roles import Role
from sarathid.server.peer import Peer

MAX_REMEMBERED = 4096

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: `owner` is a user or a key, `label` the process, as far as it is known, `role` None for no role."""

    owner: str
    label: str
    role: Role | None


class Access:
    """The roles that were granted, where `own_uid` has the highest.

    The log hears once of each owner that is refused what a role may do.
    """

    def __init__(self, grants: Grants, own_uid: int) -> None:
        self._own_uid = own_uid
        self._told: set[tuple[str, Role]] = set()
        self.grant(grants)

    def grant(self, grants: Grants) -> None:
        """Let these roles take the place of all that were granted before."""
        self._users = {**grants.users, self._own_uid: Role.ADMIN}
        self._groups = grants.groups

    @property
    def user_ids(self) -> tuple[int, ...]:
        """The users who have a role whatever their groups."""
        return tuple(self._users)

    @property
    def group_ids(self) -> tuple[int, ...]:
        """The groups whose members have a role."""
        return tuple(self._groups)

    def client(self, peer: Peer) -> Client:
        """Return a peer with the most that it may do, by its user or by one of its groups."""
        groups = peer.group_ids() & self._groups.keys() if self._groups else ()
        roles = [self._groups[group] for group in groups]
        if peer.uid in self._users:
            roles.append(self._users[peer.uid])
        return Client(f"uid {peer.uid}", peer.label, max(roles, key=list(Role).index, default=None))

    def permits(self, client: Client, needed: Role) -> bool:
        """Return whether a client may do what needs a role."""
        is_permitted = client.role is not None and client.role.includes(needed)
        if not is_permitted:
            self._tell(client, needed)
        return is_permitted

    def _tell(self, client: Client, needed: Role) -> None:
        if (client.owner, needed) not in self._told and len(self._told) < MAX_REMEMBERED:
            self._told.add((client.owner, needed))
            log.warning("%s (%s) is refused what the role %s may do; told once", client.owner, client.label, needed)


def refusal(client: Client, needed: Role) -> str:
    """Return the words for a client that is not permitted something."""
    has = "no role" if client.role is None else f"the role {client.role}"
    return f"{client.owner} has {has} here, and this needs {needed}"
