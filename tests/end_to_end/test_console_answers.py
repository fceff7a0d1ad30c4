"""The console against one daemon that served, stalled and was retuned: what leaves the house, and in which shape."""

import io
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
from typing import Any

import httpx
import msgspec
import pytest

from sarathictl.answers import ANSWERS, ExportedLine, Failure
from sarathictl.cli import main
from sarathid.histogram import LatencyHistogram
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


@pytest.fixture
def ask(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """What calls `sarathictl` in this process and returns the objects that it printed."""
    place = served.daemon.runtime_dir.parent
    monkeypatch.setenv("XDG_STATE_HOME", os.fspath(place / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(place))
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def call(*arguments: str, runtime_dir: Path = served.daemon.runtime_dir) -> list[dict[str, Any]]:
        monkeypatch.setattr(sys, "argv", ["sarathictl", "-A", os.fspath(runtime_dir), "--json", *arguments])
        with pytest.raises(SystemExit):
            main()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call


ASKED = [
    "top --once",
    "status",
    "get",
    "requests",
    "stalls",
    "events",
    "latency",
    "kv",
    "stages",
    "fleet",
    "doctor",
    "why",
    "why 1",
    "set-budget 512",
    "set-policy prefill-first --dry-run",
    "set-slo tbt=50ms --confirm 1h",
    "keep",
    "undo",
    "history",
    "audit",
    "record --last 10m --out NEW/run.srec",
    "replay NEW/run.srec",
    "support-bundle --out NEW/help.tar.gz",
    "cancel --all --dry-run",
    "cancel --all --yes",
    "generate hello --max-tokens 3",
    "context list",
    "config view",
    "config path",
]
ASKED_FOR_LONG = [
    "selftest fuzz --frames 20 --yes",
    "bench interference --policy stall-free --streams 1 --prompt 300 --every 0.5 --seconds 1 --out NEW/bench",
]


def test_what_every_command_prints_is_what_its_schema_says(served: Served, ask: Any, tmp_path: Path) -> None:
    for words in ASKED:
        check_answer(ask, words.replace("NEW", os.fspath(tmp_path)))
    for line in ask("export", "jsonl"):
        assert line.pop("schema_version") == 1
        assert conforms(line, ExportedLine), line


@pytest.mark.long
@pytest.mark.parametrize("words", ASKED_FOR_LONG)
def test_what_measures_and_tries_prints_what_its_schema_says(ask: Any, tmp_path: Path, words: str) -> None:
    check_answer(ask, words.replace("NEW", os.fspath(tmp_path)))


def check_answer(ask: Any, words: str) -> None:
    """Fail unless a command's answer is of one of its types."""
    name, *arguments = words.split()
    (found,) = ask(name, *arguments)
    assert found.pop("schema_version") == 1
    assert "error" not in found, (words, found)
    assert any(conforms(found, type_) for type_ in ANSWERS[name]), f"{words}: {str(found)[:2000]}"


def test_a_failure_is_an_object_of_its_own_shape(ask: Any, tmp_path: Path) -> None:
    for words in (["status"], ["drain", "--yes"], ["why", "1"]):
        (found,) = ask(*words, runtime_dir=tmp_path)
        assert found.pop("schema_version") == 1
        assert conforms(found, Failure)
        assert found["error"]["code"] == 3


class Buckets(LatencyHistogram):
    """A distribution as an answer has it."""

    told: Any = None


def conforms(found: Any, type_: Any) -> bool:
    """Whether an answer is of a type, with no field more than that has."""

    def read(wanted: type, told: Any) -> Any:
        assert wanted is LatencyHistogram
        buckets = Buckets()
        buckets.told = told
        return buckets

    try:
        converted = msgspec.convert(found, type_, dec_hook=read)
    except msgspec.ValidationError:
        return False
    return bool(json.loads(msgspec.json.encode(converted, enc_hook=lambda buckets: buckets.told)) == found)
