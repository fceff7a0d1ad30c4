import logging
import os
import stat
from pathlib import Path

import msgspec
import pytest

from sarathid.protocol.changes import ChangeOrigin
from sarathid.protocol.revisions import AuditEntry, AuditEvent, Revision, RevisionState
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import EngineSettings
from sarathid.telemetry.audit_log import NUM_OLD_FILES, AuditLog

SETTINGS = EngineSettings(revision=1, token_budget=128, policy="stall-free", slo=SLO())


def make_entry(number: int) -> AuditEntry:
    revision = Revision(
        revision=number,
        time_s=1000.0 + number,
        iteration=number,
        changed_by="0/1/me",
        reason="a line\nend is no end of a line",
        origin=ChangeOrigin.ASKED,
        old=SETTINGS,
        new=SETTINGS,
        state=RevisionState.KEPT,
    )
    return AuditEntry(time_s=revision.time_s, event=AuditEvent.CHANGED, by="0/1/me", revision=revision)


def read(log: AuditLog) -> list[int]:
    return [entry.revision.revision for entry in log.read(lambda entry: True)]


def test_entries_are_read_back_as_they_were_and_only_the_owner_may(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "run"
    log = AuditLog(directory)
    for number in range(3):
        log.append(make_entry(number))

    assert list(AuditLog(directory).read(lambda entry: entry.time_s >= 1001.0)) == [make_entry(1), make_entry(2)]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "audit.jsonl").stat().st_mode) == 0o600
    assert len((directory / "audit.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("num_bytes_cut", [1, 2, 40, 400])
def test_a_cut_last_line_is_skipped_and_takes_no_other_along(tmp_path: Path, num_bytes_cut: int) -> None:
    log = AuditLog(tmp_path / "run")
    for number in range(3):
        log.append(make_entry(number))
    path = tmp_path / "run" / "audit.jsonl"
    os.truncate(path, path.stat().st_size - num_bytes_cut)
    whole = [0, 1, 2] if num_bytes_cut == 1 else [0, 1]
    assert read(log) == whole

    AuditLog(tmp_path / "run").append(make_entry(3))
    assert read(log) == [*whole, 3]


def test_garbage_between_lines_is_passed_over(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "run")
    log.append(make_entry(0))
    with (tmp_path / "run" / "audit.jsonl").open("ab") as file:
        file.write(b"\x00\xff garbage\n{}\n[]\n" + b'{"by": "\xff"}\n' + b'{"x":' + b"[" * 100_000 + b"\n")
    log.append(make_entry(1))

    assert read(log) == [0, 1]


def test_full_files_are_put_aside_and_the_oldest_forgotten(tmp_path: Path) -> None:
    line = len(msgspec.json.encode(make_entry(10))) + 1
    log = AuditLog(tmp_path / "run", max_file_bytes=2 * line)
    for number in range(10, 40):
        log.append(make_entry(number))

    sizes = [path.stat().st_size for path in (tmp_path / "run").iterdir()]
    assert len(sizes) <= NUM_OLD_FILES + 1
    assert max(sizes) <= 3 * line
    assert read(log) == list(range(40 - len(read(log)), 40))
    assert len(read(log)) >= 2 * NUM_OLD_FILES


def test_a_log_that_cannot_be_written_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run").write_text("in the way")
    log = AuditLog(tmp_path / "run")
    with caplog.at_level(logging.WARNING):
        log.append(make_entry(0))
        log.append(make_entry(1))

    (message,) = caplog.messages
    assert "can't be written" in message


def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "audit.jsonl").symlink_to(tmp_path / "victim")
    AuditLog(tmp_path / "run").append(make_entry(0))

    assert not (tmp_path / "victim").exists()
    assert "can't be written" in caplog.text
