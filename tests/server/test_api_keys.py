from pathlib import Path

import pytest

from sarathid.errors import ConfigError
from sarathid.server.api_keys import APIKeys, read_keys

KEY, OTHER_KEY = "a" * 32, "b" * 40


@pytest.mark.parametrize(
    ("authorization", "holder"),
    [
        (f"Bearer {KEY}", "web"),
        (f"bearer {OTHER_KEY}", "batch"),
        (f"Basic {KEY}", None),
        (f"Bearer {KEY}x", None),
        (f"Bearer {KEY[:-1]}", None),
        ("Bearer ", None),
        ("", None),
        (KEY, None),
        ("Bearer \udcff", None),
    ],
)
def test_a_key_is_known_by_its_holder(authorization: str, holder: str | None) -> None:
    assert APIKeys({"web": KEY, "batch": OTHER_KEY}).holder(authorization) == holder


def test_without_keys_nobody_has_one() -> None:
    assert APIKeys({}).holder("Bearer ") is None


def key_file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "keys"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_file_names_a_holder_a_line(tmp_path: Path) -> None:
    keys = read_keys(key_file(tmp_path, f"web  {KEY}\n\nbatch-2\t{OTHER_KEY}\n"))

    assert keys.holder(f"Bearer {OTHER_KEY}") == "batch-2"


@pytest.mark.parametrize(
    "text", ["", "\n", KEY, "web short", f"web {KEY} more", f"we b {KEY}", "web " + "x" * (1 << 17)]
)
def test_a_file_of_anything_else_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="a name, a blank and a key") as refused:
        read_keys(key_file(tmp_path, text))

    assert KEY not in str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="chmod it 600"):
        read_keys(key_file(tmp_path, f"web {KEY}", mode))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        read_keys(tmp_path)
    with pytest.raises(ConfigError, match="can't be read"):
        read_keys(tmp_path / "missing")
