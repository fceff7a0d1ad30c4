from pathlib import Path

import pytest

from sarathid.commands.settings import SETTINGS, resolve, to_config
from sarathid.config import EngineConfig, ServerConfig
from sarathid.errors import ConfigError


def write(directory: Path, text: str) -> Path:
    path = directory / "sarathid.toml"
    path.write_text(text)
    return path


def value_and_source(flags: dict[str, str], environment: dict[str, str], file: Path) -> tuple[object, str]:
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
        ({"block_size": "0"}, "block_size"),
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
    ],
)
def test_a_file_with_unknown_settings_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve({}, {}, write(tmp_path, text))
