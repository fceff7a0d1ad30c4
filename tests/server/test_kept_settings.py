import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarathid.commands.settings import SETTINGS
from sarathid.config import parse_duration_s
from sarathid.protocol.slo import SLO, BudgetMode
from sarathid.protocol.stats import EngineSettings
from sarathid.server.kept_settings import KeptSettings, KeptTexts, texts_of
from sarathid.slo.revisions import values_of


def test_what_is_kept_is_read_back_and_only_the_owner_may(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "run"
    KeptSettings(directory).write({"token_budget": "512"})
    KeptSettings(directory).write({"token_budget": "256", "slo_tbt": "0.1s"})

    assert KeptSettings(directory).read() == {"token_budget": "256", "slo_tbt": "0.1s"}
    assert stat.S_IMODE((directory / "settings.json").stat().st_mode) == 0o600
    assert [path.name for path in directory.iterdir()] == ["settings.json"]


def test_nothing_is_kept_at_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert KeptSettings(tmp_path / "none").read() == {}
    assert caplog.messages == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        b'{"token_budget": 512}',
        b'{"model": "other"}',
        b'{"policy": null',
        b'{"policy": "\xff"}',
    ],
)
def test_a_broken_file_is_told_of_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    (tmp_path / "settings.json").write_bytes(content)

    assert KeptSettings(tmp_path).read() == {}
    (message,) = caplog.messages
    assert "settings.json are ignored" in message


def test_a_place_that_cannot_be_written_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run").write_text("in the way")
    KeptSettings(tmp_path / "run").write({"policy": "stall-free"})

    assert "can't be kept" in caplog.text


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a disk")
def test_on_a_disk_that_fills_up_what_was_kept_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12k,mode=700", "tmpfs", tmp_path], check=True)
    try:
        store = KeptSettings(tmp_path / "run")
        store.write({"policy": "stall-free"})
        store.write({"policy": "x" * 9_000})  # of which the first page finds room
        assert store.read() == {"policy": "stall-free"}
        assert "No space left on device" in caplog.text
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)


@given(st.sampled_from([512, "auto", "profiled"]), st.none() | st.floats(1e-6, 86_400.0))
def test_a_text_is_read_as_what_it_was_written_from(budget: int | str, target_s: float | None) -> None:
    settings = EngineSettings(
        revision=3,
        token_budget=budget if isinstance(budget, int) else 128,
        policy="stall-free",
        slo=SLO(tbt_s=target_s),
        budget_mode={"auto": BudgetMode.ADAPTIVE, "profiled": BudgetMode.PROFILED}.get(str(budget), BudgetMode.FIXED),
    )
    texts = texts_of(values_of(settings))
    read = {setting.name: setting.read for setting in SETTINGS}

    assert set(texts) == set(KeptTexts.__struct_fields__)
    assert read["token_budget"](texts["token_budget"]) == budget
    target = read["slo_tbt"](texts["slo_tbt"])
    assert target_s == (None if target is None else parse_duration_s(target))
