import os
from pathlib import Path
from typing import Any

import pytest

from sarathid.commands.serve import with_kept_if_valid
from sarathid.commands.settings import SETTINGS, resolve, to_config
from sarathid.config import EngineConfig, ServerConfig
from sarathid.errors import ConfigError
from sarathid.paths import daemon_state_dir
from sarathid.server.kept_settings import KeptSettings


def write(directory: Path, text: str) -> Path:
    path = directory / "sarathid.toml"
    path.write_text(text)
    return path


def value_and_source(flags: dict[str, str], environment: dict[str, str], file: Path | None) -> tuple[object, str]:
    found = {effective.setting.name: effective for effective in resolve(flags, environment, file)}
    return found["token_budget"].value, found["token_budget"].source


def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(tmp_path: Path) -> None:
    file = write(tmp_path, "[engine]\ntoken_budget = 300\n")
    flags, environment = {"token_budget": "100"}, {"SARATHID_TOKEN_BUDGET": "200"}

    assert value_and_source(flags, environment, file) == (100, "--token-budget")
    assert value_and_source({}, environment, file) == (200, "SARATHID_TOKEN_BUDGET")
    assert value_and_source({}, {}, file) == (300, "sarathid.toml")
    assert value_and_source({}, {}, write(tmp_path, "")) == ("auto", "default")


def test_every_field_of_the_configuration_can_be_set() -> None:
    fields = {(setting.section, setting.field) for setting in SETTINGS}

    assert fields == {
        *(("engine", field) for field in EngineConfig.__struct_fields__),
        *(("server", field) for field in ServerConfig.__struct_fields__),
    }


def test_units_are_read(tmp_path: Path) -> None:
    flags = {"kv_memory": "1.5GiB", "drain_timeout": "0", "start_timeout": "2m", "slo_tbt": "off", "watermark": "0.05"}
    config = to_config(resolve(flags | {"runtime_dir": "/run/x"}, {}, write(tmp_path, "")))

    assert config.engine.kv_memory_bytes == 3 << 29
    assert (config.server.drain_timeout_s, config.server.start_timeout_s) == (0.0, 120.0)
    assert config.engine.slo_tbt is None
    assert config.engine.watermark == 0.05
    assert config.server.runtime_dir == Path("/run/x")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"threads": "two"}, "--threads: 'two' is not understood; write a whole number"),
        ({"kv_memory": "2GB"}, "write 512MiB or 2GiB"),
        ({"watermark": "1%"}, "write a share"),
        ({"drain_timeout": "soon"}, "--drain-timeout"),
        ({"slo_tbt": "fast"}, "--slo-tbt: 'fast' is not a duration; write 100ms, 2s or 5m, or a multiple such as 5x"),
        ({"slo_ttft": "0x"}, "--slo-ttft: '0x' is out of range; a multiple lies between 1x and 1000x"),
        ({"overload": "drop"}, "--overload: 'drop' is not understood; write one of admit, hold, shed, auto"),
        ({"prefill_order": "random"}, "--prefill-order: .* write one of arrival, shortest-remaining"),
        ({"quantize": "int2"}, "--quantize: .* write one of auto, off, int8, int4"),
        ({"token_budget": "0"}, "--token-budget: '0' is not understood; write a number of tokens from 1 on"),
        ({"block_size": "0"}, "block_size"),
        ({"max_model_len": "1"}, "max_model_len"),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_name(tmp_path: Path, flags: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        to_config(resolve(flags, {}, write(tmp_path, "")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[engine]\nbudget = 5\n", "no setting 'budget'"),
        ("[motor]\ntoken_budget = 5\n", "no setting"),
        ("token_budget = 5\n", "table"),
        ("[engine\n", "sarathid.toml"),
        ("a = " + "[" * 50_000, "sarathid.toml: its brackets are too deep in each other"),
        ("[engine]\nmodel = " + "{b=" * 5_000, "too deep"),
        ("[engine]\ntoken_budget = " + "9" * 5_000, "4300 digits"),
        ("[engine]\ntoken_budget = 0x" + "f" * 5_000, "4300 digits"),
        ("# " + "x" * 70_000, "more than 64 KiB"),
    ],
    ids=lambda text: text[:24],
)
def test_a_file_with_a_mistake_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve({}, {}, write(tmp_path, text))


def test_a_pipe_is_refused_without_waiting_for_who_writes_it(tmp_path: Path) -> None:
    pipe = tmp_path / "sarathid.toml"
    os.mkfifo(pipe)

    with pytest.raises(ConfigError, match=r"sarathid\.toml: a pipe can't be read again; name a file"):
        resolve({}, {}, pipe)


def test_a_file_that_is_named_must_be_there_and_the_one_that_is_not_need_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    assert value_and_source({}, {}, None) == ("auto", "default")
    with pytest.raises(ConfigError, match=r"sarathid\.toml: No such file or directory"):
        resolve({}, {}, tmp_path / "sarathid.toml")


def kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, str], **texts: str
) -> dict[str, tuple[Any, str]]:
    """Return value and source of each setting for a daemon whose predecessor left `texts`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SARATHID_RUNTIME_DIR", str(tmp_path / "run"))
    KeptSettings(daemon_state_dir(tmp_path / "run")).write(texts)
    settings = with_kept_if_valid(resolve(flags, {}, write(tmp_path, "[engine]\npolicy = 'prefill-first'\n")))
    return {effective.setting.name: (effective.value, effective.source) for effective in settings}


def test_what_was_kept_goes_before_the_default_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"token_budget": "512", "policy": "stall-free", "slo_tbt": "off", "slo_ttft": "2.0s"}
    found = kept(tmp_path, monkeypatch, {"slo_ttft": "3s"}, **texts)

    assert found["token_budget"] == (512, "kept")
    assert found["policy"] == ("prefill-first", "sarathid.toml")
    assert found["slo_tbt"] == (None, "kept")
    assert found["slo_ttft"] == ("3s", "--slo-ttft")


@pytest.mark.parametrize(
    "texts", [{"token_budget": "512"}, {"token_budget": "many"}, {"slo_tbt": "soon"}, {"slo_ttft": "0s"}]
)
def test_what_was_kept_and_can_no_longer_be_is_told_of_and_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, texts: dict[str, str]
) -> None:
    found = kept(tmp_path, monkeypatch, {"max_budget": "256"}, **texts)

    assert "kept" not in {source for _value, source in found.values()}
    (message,) = caplog.messages
    assert "the kept settings are ignored" in message


def test_another_runtime_directory_has_settings_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = kept(tmp_path, monkeypatch, {"runtime_dir": str(tmp_path / "other")}, token_budget="512")

    assert found["token_budget"] == ("auto", "default")
