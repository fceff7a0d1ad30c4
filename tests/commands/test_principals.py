import grp
import pwd

import pytest

from sarathid.commands.principals import read_grants, read_group
from sarathid.config import Grants
from sarathid.protocol.roles import Role


def test_users_and_groups_are_named_or_numbered() -> None:
    user, group = pwd.getpwuid(0).pw_name, grp.getgrgid(0).gr_name

    assert read_grants(f"{user}=operate, 1234=read,@{group}=infer,@77=admin") == Grants(
        users={0: Role.OPERATE, 1234: Role.READ}, groups={0: Role.INFER, 77: Role.ADMIN}
    )


@pytest.mark.parametrize("text", ["", "root", "root=king", "=read", "@=read", "nobody-has-this-name=read", "1=read,"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_grants(text)


def test_a_group_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'no-group-of-this-name'"):
        read_group("no-group-of-this-name")


def test_grants_are_shown_as_they_are_written() -> None:
    text = "1234=read,@77=admin"

    assert str(read_grants(text)) == text
    assert str(Grants()) == "-"
