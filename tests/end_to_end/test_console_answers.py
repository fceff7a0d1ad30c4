"""The console against one daemon that served, stalled and was retuned: what leaves the house, and in which shape."""

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from sarathid.tape.tape import Tape
from tests.end_to_end.running_daemon import RunningDaemon, serving, wait_until

PROFILE = "a100/mistral-7b-tp1"
KEY = "sk-3f1c9a7be2d84c0f9d1e5b6a77c0e4d2"
PROMPT = "The secret ingredient of the soup is cardamom"
REASON = "because-of-the-soup"


@dataclass(frozen=True)
class Served:
    """A daemon, and what it was asked and answered."""

    daemon: RunningDaemon
    texts: tuple[str, ...]

    def call(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Return how `sarathictl` ended."""
        program = os.fspath(Path(sys.executable).with_name("sarathictl"))
        state = self.daemon.runtime_dir.parent / "state"
        environment = os.environ | {"XDG_STATE_HOME": os.fspath(state), "XDG_CONFIG_HOME": os.fspath(state.parent)}
        command = [program, "-A", os.fspath(self.daemon.runtime_dir), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("answers")
    keys = place / "keys"
    keys.touch(0o600)
    keys.write_text(f"kitchen {KEY}\n")
    (place / "sarathid").mkdir()
    (place / "sarathid" / "sarathid.toml").write_text(f'http_keys = "{keys}"\ntoken_budget = 2048\n')
    flags = (
        "--simulate",
        PROFILE,
        "--budget",
        "2048",
        "--slo-tbt",
        "30ms",
        "--http-port",
        "0",
        "--http-keys",
        str(keys),
    )
    with serving(place / "run", *flags) as daemon:
        url = re.findall(r"http://127\.0\.0\.1:\d+", daemon.log)[0]
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
            found = Served(daemon, tuple(load(client)))
        assert found.call("set-budget", "1024", "-m", REASON).returncode == 0
        wait_until(lambda: daemon.status().num_stalls > 0, "a stall")
        yield found


def load(client: httpx.Client) -> Iterator[str]:
    """Yield what is answered to a stream and, while it decodes, to long prompts that stall it."""

    def complete(prompt: str, max_tokens: int) -> str:
        body = {"prompt": prompt, "max_tokens": max_tokens, "ignore_eos": True}
        text: str = client.post("/v1/completions", json=body).raise_for_status().json()["choices"][0]["text"]
        return text

    with ThreadPoolExecutor() as pool:
        stream = pool.submit(complete, PROMPT, 120)
        yield from pool.map(lambda number: complete(f"{number} {PROMPT} " * 150, 3), range(3))
        yield stream.result()


def test_a_support_bundle_holds_what_happened_and_no_text_no_key_and_no_name(served: Served, tmp_path: Path) -> None:
    done = served.call("support-bundle", "--out", str(tmp_path / "help.tar.gz"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["missing"] == {}
    with tarfile.open(tmp_path / "help.tar.gz") as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}  # type: ignore[union-attr]
    tape = Tape.of(files["help/recording.srec"], "bundle")
    everything = b"".join([*files.values(), *(frame.body for frame in tape.frames)])

    assert json.loads(files["help/configuration.json"]) == {"http_keys": "(removed)", "token_budget": 2048}
    assert json.loads(files["help/status.json"])["num_finished"] == 4
    assert any(event["kind"] == "stall" for event in json.loads(files["help/events.json"]))
    for secret in (KEY, PROMPT, "cardamom", REASON, "kitchen", "127.0.0.1", os.fspath(served.daemon.runtime_dir)):
        assert secret.encode() not in everything, secret
    words = {word for text in served.texts for word in re.findall(r"\w{7,}", text)}
    assert len(words) > 10
    known = {word for word in words if word.encode() in everything}
    assert not known, "words of answers stand in it"


@pytest.mark.parametrize("form", ["perfetto", "jsonl"])
def test_an_export_of_the_recorder_has_no_word_of_a_prompt(served: Served, tmp_path: Path, form: str) -> None:
    done = served.call("export", form, "--out", str(tmp_path / form))
    assert done.returncode == 0, done.stderr
    data = (tmp_path / form).read_bytes()
    assert len(data) > 1000
    assert all(secret not in data for secret in (b"cardamom", KEY.encode(), b"kitchen"))
