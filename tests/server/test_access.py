import grp
import pwd

import pytest

from sarathid.config import Grants
from sarathid.protocol.roles import Role
from sarathid.server.access import Access, Client
from sarathid.server.peer import Peer

OWN_UID = 1000
STRANGER = 60_001  # no user's number
OTHER_GROUP = 60_002


def peer(uid: int, gid: int = 60_000) -> Peer:
    return Peer(pid=1, uid=uid, gid=gid, command="python")


def role_of(found: Peer, grants: Grants) -> Role | None:
    return Access(grants, OWN_UID).client(found).role


def test_the_daemons_user_may_everything_and_others_nothing() -> None:
    assert role_of(peer(OWN_UID), Grants()) is Role.ADMIN
    assert role_of(peer(STRANGER), Grants()) is None
    assert role_of(peer(0), Grants()) is None


def test_nothing_that_is_granted_takes_from_the_daemons_user() -> None:
    assert role_of(peer(OWN_UID), Grants(users={OWN_UID: Role.READ})) is Role.ADMIN


def test_a_user_has_the_highest_role_that_user_and_groups_give() -> None:
    grants = Grants(users={STRANGER: Role.READ}, groups={OTHER_GROUP: Role.OPERATE})

    assert role_of(peer(STRANGER), grants) is Role.READ
    assert role_of(peer(STRANGER, OTHER_GROUP), grants) is Role.OPERATE


def test_the_groups_that_the_system_lists_for_a_user_count() -> None:
    group = next((group for group in grp.getgrall() if group.gr_mem), None)
    if group is None:
        pytest.skip("no group of this system lists a member")
    member = pwd.getpwnam(group.gr_mem[0])
    grants = Grants(groups={group.gr_gid: Role.INFER})

    assert role_of(peer(member.pw_uid), grants) is Role.INFER
    assert role_of(peer(STRANGER), grants) is None


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize("needed", list(Role))
def test_a_role_may_what_those_before_it_may(role: Role | None, needed: Role) -> None:
    ranks = (None, Role.READ, Role.INFER, Role.OPERATE, Role.ADMIN)

    is_permitted = Access(Grants(), OWN_UID).permits(Client("uid 1", "1/1/x", role), needed)

    assert is_permitted is (ranks.index(role) >= ranks.index(needed))


def test_each_owner_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    access = Access(Grants(), OWN_UID)
    for pid in range(3):
        for owner in ("uid 7", "uid 8"):
            access.permits(Client(owner, f"{pid}", None), Role.READ)

    assert [message.partition(" (")[0] for message in caplog.messages] == ["uid 7", "uid 8"]
