"""What a peer may do at the daemon's sockets."""

from enum import StrEnum


class Role(StrEnum):
    """Each may also do what those before it may."""

    READ = "read"  # see how the daemon is and what it did
    INFER = "infer"  # have texts completed
    OPERATE = "operate"  # change settings, forecast changes, cancel requests
    ADMIN = "admin"  # stop the daemon

    def includes(self, needed: "Role") -> bool:
        """Return whether who has this role may do what needs the other one."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)
