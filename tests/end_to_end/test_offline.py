"""The engine in this process says what the daemon says."""

import re
from pathlib import Path

import pytest

from sarathid import LLM
from tests.end_to_end.running_daemon import RunningDaemon

README = Path(__file__).parents[2] / "README.md"
PROMPTS = ("The Moon is", "Water boils at 100 degrees", "Der schnelle braune Fuchs " * 12)


def test_greedy_answers_offline_are_the_daemons(daemon: RunningDaemon) -> None:
    body = {"prompt": PROMPTS, "max_tokens": 12, "temperature": 0, "return_token_ids": True}
    with daemon.http() as client:
        served = client.post("/v1/completions", json=body).json()["choices"]
    with LLM(num_threads=1, kv_memory_bytes=64 << 20, max_num_seqs=3, token_budget=64) as llm:
        computed = llm.generate(PROMPTS, max_tokens=12, temperature=0)
        (by_ids,) = llm.generate([served[0]["prompt_token_ids"]], max_tokens=12, temperature=0)

    told = [(output.text, list(output.token_ids), output.finish_reason) for output in computed]
    assert told == [(choice["text"], choice["token_ids"], choice["finish_reason"]) for choice in served]
    assert by_ids.text == computed[0].text


@pytest.mark.long
def test_the_readmes_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"```python\n(from sarathid import LLM\n.*?)```", README.read_text(), re.DOTALL)
    exec(compile(program, "README.md", "exec"), {})

    assert len(capsys.readouterr().out.splitlines()) >= 2
