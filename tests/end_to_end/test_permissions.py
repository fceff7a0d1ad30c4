"""What another user of this machine may do at the daemon's sockets; only root can try that out."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.end_to_end.other_user import GROUP, NOBODY, ask_as
from tests.end_to_end.running_daemon import serving, wait_until

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")

READER, OPERATOR, OTHER_GROUP = 60_001, 60_002, 60_004


def test_another_user_reaches_no_socket(place: Path) -> None:
    with serving(place / "run", "--simulate", "a100/mistral-7b-tp1") as daemon:
        for arguments in (["status"], ["generate", "hello"]):
            done = ask_as(NOBODY, NOBODY, daemon, *arguments)
            assert done.returncode == 5
            assert "closed to you" in done.stderr


def test_members_of_the_group_may_what_their_roles_may_and_strangers_among_them_nothing(place: Path) -> None:
    grants = f"--roles={READER}=read,@{OTHER_GROUP}=operate"
    with serving(place / "run", "--simulate", "a100/mistral-7b-tp1", f"--socket-group={GROUP}", grants) as daemon:
        status = ask_as(READER, GROUP, daemon, "status", "--json")
        refused = [
            ask_as(READER, GROUP, daemon, "drain", "--yes"),
            ask_as(READER, GROUP, daemon, "generate", "hello"),
            ask_as(NOBODY, GROUP, daemon, "status"),
            ask_as(NOBODY, GROUP, daemon, "status"),
            ask_as(OPERATOR, OTHER_GROUP, daemon, "status"),
        ]
        log = daemon.log

    assert json.loads(status.stdout)["role"] == "read"
    assert [done.returncode for done in refused] == [5] * 5
    assert log.count(f"uid {NOBODY} (") == 1
    assert f"uid {OPERATOR} (" not in log, "who is not of the socket's group does not get as far"


def test_roles_that_are_taken_back_are_gone_when_the_configuration_was_read_again(place: Path) -> None:
    config = place / "sarathid.toml"
    server = f'[server]\nsocket_group = "{GROUP}"\n'
    config.write_text(server)
    with serving(place / "run", "--simulate", "a100/mistral-7b-tp1", "--config", os.fspath(config)) as daemon:
        codes = [ask_as(READER, GROUP, daemon, "status").returncode]
        for roles in (f'roles = "{READER}=read"\n', ""):
            config.write_text(server + roles)
            num_read = daemon.log.count("was read again and changes roles")
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: daemon.log.count("was read again and changes roles") > num_read, "reads it again")  # noqa: B023
            codes.append(ask_as(READER, GROUP, daemon, "status").returncode)

    assert codes == [5, 0, 5]
