"""Users and groups as operators write them, and the roles that they get."""

import grp
import pwd
from collections.abc import Callable

from sarathid.config import Grants
from sarathid.protocol.roles import Role

_GROUP_MARK = "@"


def read_group(text: str) -> int:
    """Return the number of a group that is named or numbered; raises `ValueError` for one that does not exist."""
    return _number_of(text, "group", lambda: grp.getgrnam(text).gr_gid)


def read_user(text: str) -> int:
    """Return the number of a user who is named or numbered; raises `ValueError` for one who does not exist."""
    return _number_of(text, "user", lambda: pwd.getpwnam(text).pw_uid)


def read_grants(text: str) -> Grants:
    """Return what `alice=operate,@llm=infer` grants; raises `ValueError` for anything else."""
    users: dict[int, Role] = {}
    groups: dict[int, Role] = {}
    for grant in text.split(","):
        principal, separator, role = grant.strip().partition("=")
        if not separator or role not in list(Role):
            raise ValueError(f"write alice=operate,@llm=infer with roles of {', '.join(Role)}")
        if principal.startswith(_GROUP_MARK):
            groups[read_group(principal.removeprefix(_GROUP_MARK))] = Role(role)
        else:
            users[read_user(principal)] = Role(role)
    return Grants(users, groups)


def _number_of(text: str, kind: str, look_up: Callable[[], int]) -> int:
    if text.isdecimal():
        return int(text)
    try:
        return look_up()
    except KeyError:
        raise ValueError(f"there is no {kind} {text!r}") from None
