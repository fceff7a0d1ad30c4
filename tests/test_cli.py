import subprocess
import sys
from pathlib import Path

import pytest

from sarathid.cli import exit_code
from sarathid.errors import ConfigError, EngineFailed, ModelRefused, RuntimeDirectoryHeld, SarathiError
from sarathid.exit_codes import ExitCode
from sarathid.version import __version__


def sarathid(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).with_name("sarathid")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SarathiError(""), 1),
        (ConfigError(""), 2),
        (RuntimeDirectoryHeld(""), 6),
        (ModelRefused(""), 7),
        (EngineFailed("", 7), 7),
        (EngineFailed("", 2), 2),
        (EngineFailed("", 1), 10),
        (EngineFailed(""), 10),
    ],
)
def test_each_error_has_its_exit_code(error: SarathiError, code: int) -> None:
    assert exit_code(error) == code


def test_the_readme_and_the_help_have_the_same_table_of_exit_codes() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    section = readme.partition("## Exit codes\n")[2].splitlines()
    codes, words = (
        [cell.strip() for cell in next(line for line in section if line.startswith(start)).split("|")[2:-1]]
        for start in ("| |", "| `sarathid` |")
    )
    table = {int(code): said for code, said in zip(codes, words, strict=True) if said}
    assert table == {code.value: code.words for code in ExitCode}
    help_lines = [
        line.split(maxsplit=1) for line in sarathid("--help").stdout.partition("Exit codes:\n")[2].splitlines()
    ]
    assert {int(code): said for code, said in help_lines} == table


def test_the_version_is_printed() -> None:
    assert sarathid("--version").stdout.strip() == __version__


def test_a_usage_error_exits_with_2() -> None:
    assert sarathid("serve", "--no-such-flag").returncode == 2
    assert sarathid("no-such-command").returncode == 2


def test_the_check_prints_every_setting_with_its_source(tmp_path: Path) -> None:
    done = sarathid("serve", "--check", "--runtime-dir", str(tmp_path / "run"), "--budget", "64")

    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[:-1]}
    assert rows["token_budget"] == ["64", "--token-budget"]
    assert rows["max_num_seqs"] == ["128", "default"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--block-size", "999"), 2, "block_size"),
        (("--policy", "no-such-policy"), 2, "stall-free"),
        (("--slo-tbt", "soon"), 2, "100ms"),
        (("--runtime-dir", "/tmp/" + "x" * 100), 2, "--runtime-dir"),
        (("--runtime-dir", "/proc/self/cwd"), 2, "is a symbolic link"),
        (("--runtime-dir", "/tmp"), 2, "lets others in"),
        (("--runtime-dir", "/etc/passwd/run"), 2, "can't be made"),
        (("--kv-memory", "9" * 400 + "GiB"), 2, "--kv-memory"),
        (("--model", "/no/such.gguf"), 7, "does not exist"),
        (("--model", "weights.bin"), 7, "pickle"),
    ],
)
def test_the_check_refuses_in_one_line(flags: tuple[str, ...], code: int, words: str) -> None:
    done = sarathid("serve", "--check", *flags)

    assert done.returncode == code
    assert done.stderr.startswith("sarathid: ")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_the_daemons_process_loads_no_torch() -> None:
    words = "import sys, sarathid.commands.serve; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=120)

    assert done.stdout.strip() == "False", done.stderr
