import pytest

from sarathid.commands.systemd_unit import quoted, socket_unit, unit
from sarathid.errors import ConfigError


def test_the_unit_runs_the_command_and_reloads_it() -> None:
    lines = unit(("/usr/bin/sarathid", "serve", "--budget", "512")).splitlines()
    assert "Type=notify" in lines
    assert "ExecStart=/usr/bin/sarathid serve --budget 512" in lines
    assert "ExecReload=/bin/kill -HUP $MAINPID" in lines
    assert "RestartPreventExitStatus=2 6 7" in lines


@pytest.mark.parametrize(
    ("argument", "written"),
    [
        ("--slo-tbt=5x", "--slo-tbt=5x"),
        ("", '""'),
        (";", '";"'),
        ("/a b/c", '"/a b/c"'),
        ("100%", '"100%%"'),
        ("$HOME", '"$$HOME"'),
        ('say "hi"\\', '"say \\"hi\\"\\\\"'),
    ],
)
def test_arguments_are_written_so_that_systemd_reads_the_same(argument: str, written: str) -> None:
    assert quoted(argument) == written


def test_an_argument_of_two_lines_is_refused() -> None:
    with pytest.raises(ConfigError, match="in a unit"):
        quoted("a\nExecStart=b")


def test_the_unit_of_the_sockets_listens_where_the_daemon_would() -> None:
    lines = socket_unit(["--budget", "512"]).splitlines()

    assert [line for line in lines if line.startswith("ListenStream=")] == [
        "ListenStream=%t/sarathid/api.sock",
        "ListenStream=%t/sarathid/control.sock",
        "ListenStream=%t/sarathid/stats.sock",
    ]
    assert {"SocketMode=0600", "DirectoryMode=0700"} <= set(lines)


def test_the_unit_of_the_sockets_opens_them_to_the_daemons_group() -> None:
    lines = socket_unit(["--runtime-dir", "/run/100%", "--socket-group=llm"]).splitlines()

    assert {"ListenStream=/run/100%%/api.sock", "SocketGroup=llm", "SocketMode=0660"} <= set(lines)
