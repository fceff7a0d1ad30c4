"""The configuration read again, from its text to the revisions that it makes, over an engine that recites."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from sarathid.commands.serve import values_of
from sarathid.commands.settings import resolve
from sarathid.config import Grants
from sarathid.protocol.roles import Role
from sarathid.server.reloader import REASON, Reloader
from tests.server.test_retuning import Desk, at_desk


def reloading(
    tmp_path: Path, desk: Desk, text: str, grant: Callable[[Grants], None] = lambda _: None
) -> tuple[Reloader, Callable[[str], object]]:
    """Return a reloader of a file with this text, and what writes another into it."""
    file = tmp_path / "sarathid.toml"
    file.write_text(text)
    reloader = Reloader(lambda: values_of(resolve({}, {}, file)), desk.retuner, lambda: 0.02, grant)
    return reloader, file.write_text


def test_what_is_new_becomes_revisions_and_the_rest_needs_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(desk: Desk) -> None:
        reloader, write = reloading(tmp_path, desk, '[engine]\nslo_tbt = "5x"\n')
        write('[engine]\nslo_tbt = "10x"\ntoken_budget = 96\n[server]\nmax_queue_len = 7\n')
        with caplog.at_level(logging.INFO):
            await reloader.reload()
        assert desk.engine.settings is not None
        assert desk.budget == 96
        assert desk.engine.settings.slo.tbt_s == pytest.approx(0.2)
        assert [desk.revision(number).reason for number in (1, 2)] == [REASON, REASON]
        assert "changes slo_tbt, token_budget" in caplog.text
        assert "a restart would change max_queue_len" in caplog.text

    at_desk(tmp_path, use)


def test_roles_are_granted_and_taken_back(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        granted: list[Grants] = []
        reloader, write = reloading(tmp_path, desk, "", granted.append)
        write('[server]\nsocket_group = "60003"\nroles = "60001=read"\n')
        await reloader.reload()
        write('[server]\nsocket_group = "60003"\nroles = "60001=nothing"\n')
        await reloader.reload()
        write("")
        await reloader.reload()
        assert granted == [Grants({60001: Role.READ}), Grants()]

    at_desk(tmp_path, use)


def test_what_an_operator_changed_stays_where_the_file_is_the_same(tmp_path: Path) -> None:
    async def use(desk: Desk) -> None:
        reloader, write = reloading(tmp_path, desk, "[engine]\ntoken_budget = 100\n")
        await desk.set_budget(64)
        write('[engine]\ntoken_budget = 100\nslo_tbt = "off"\n')
        await reloader.reload()
        assert desk.engine.settings is not None
        assert (desk.budget, desk.engine.settings.slo.tbt_s) == (64, None)

    at_desk(tmp_path, use)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("[engine\n", "sarathid.toml"),
        (f'[engine]\ntp = 2\nnnodes = 2\nrendezvous = "{"a" * 70}:1"\n', "the name of a host"),
        ('[engine]\npp = 2\nrendezvous = "127.0.0.1:29500"\n', "--nnodes"),
        ("a = " + "[" * 50_000, "too deep"),
        ("[engine]\ntoken_budget = " + "9" * 5_000, "digits"),
        ("[engine]\nno_such = 1\n", "no_such"),
        ("[engine]\ntoken_budget = 99999\n", "99999"),
        ('[engine]\npolicy = "prefill-first"\nslo_tbt = "0.5x"\n', "0.5x"),
        ('[engine]\npolicy = "prefill-first"\nmax_budget = 10000\ntoken_budget = 9000\n', "9000"),
    ],
)
def test_a_bad_configuration_is_refused_as_a_whole_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: str, words: str
) -> None:
    async def use(desk: Desk) -> None:
        reloader, write = reloading(tmp_path, desk, "")
        before = desk.engine.settings
        write(bad)
        with caplog.at_level(logging.WARNING):
            await reloader.reload()
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.startswith("the configuration is not taken over: ")
        assert words in line
        assert "\n" not in line
        assert desk.engine.settings == before

        write("[engine]\ntoken_budget = 80\n")
        await reloader.reload()
        assert desk.budget == 80

    at_desk(tmp_path, use)
