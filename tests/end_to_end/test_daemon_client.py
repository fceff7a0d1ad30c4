"""The README's program that talks with a daemon does what it says, while the daemon computes."""

import re
import threading
from pathlib import Path

import pytest

from tests.end_to_end.running_daemon import RunningDaemon

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_program_retunes_reads_an_iteration_and_takes_it_back(
    daemon: RunningDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = re.findall(r"```python\n(from sarathictl.client import .*?)```", README.read_text(), re.DOTALL)
    monkeypatch.setenv("SARATHID_ADDR", str(daemon.runtime_dir))
    before = daemon.status().settings
    is_over = threading.Event()

    def keep_busy() -> None:
        with daemon.http() as client:
            while not is_over.is_set():
                client.post("/v1/completions", json={"prompt": "The Moon is", "max_tokens": 4, "ignore_eos": True})

    worker = threading.Thread(target=keep_busy)
    worker.start()
    try:
        exec(compile(program, "README.md", "exec"), {})
    finally:
        is_over.set()
        worker.join()

    after = daemon.status().settings
    assert before is not None and after is not None
    assert (after.token_budget, after.revision) == (before.token_budget, before.revision + 2)
    assert capsys.readouterr().out.startswith("256 ")
