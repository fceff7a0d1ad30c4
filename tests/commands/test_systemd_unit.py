import pytest

from sarathid.commands.systemd_unit import quoted, unit
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
