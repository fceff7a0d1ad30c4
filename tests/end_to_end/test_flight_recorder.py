"""What a daemon that was killed leaves: its last seconds, and no word of what was asked or answered."""

from pathlib import Path

from sarathid.paths import FLIGHT_DIR, daemon_state_dir
from sarathid.protocol.stats import IterationStats, RequestArrival, RequestStats, StreamRecord
from sarathid.tape.tape import Tape
from tests.end_to_end.running_daemon import RunningDaemon, serving, wait_until

PROMPT = "The secret ingredient of the soup"


def recorded(state_dir: Path) -> tuple[Tape | None, list[StreamRecord]]:
    """Return what lies in a state directory now."""
    files = sorted(state_dir.glob("*.srec"))
    if not files:
        return None, []
    tape = Tape.of(b"".join(file.read_bytes() for file in files), "flight")
    return tape, [record for segment in tape.segments() for record in segment.records]


def complete(daemon: RunningDaemon) -> str:
    with daemon.http() as client:
        body = {"prompt": PROMPT, "max_tokens": 20, "ignore_eos": True, "temperature": 0}
        text: str = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
    return text


def test_a_killed_daemon_leaves_its_last_seconds_and_no_text(tmp_path: Path) -> None:
    with serving(tmp_path / "run") as killed:
        flight = tmp_path / "state" / "sarathid" / daemon_state_dir(killed.runtime_dir).name / FLIGHT_DIR
        text = complete(killed)
        wait_until(lambda: any(isinstance(record, RequestStats) for record in recorded(flight)[1]), "is recorded")
        killed.process.kill()
        killed.process.wait()

    tape, records = recorded(flight)
    assert tape is not None
    (arrival,) = [record for record in records if isinstance(record, RequestArrival)]
    (ended,) = [record for record in records if isinstance(record, RequestStats)]
    gaps = [gap for record in records if isinstance(record, IterationStats) for gap in record.gaps]
    assert (arrival.num_prompt_tokens, arrival.max_tokens) == (ended.num_prompt_tokens, 20)
    assert [gap.request_id for gap in gaps] == [arrival.request_id] * 19
    bodies = b"".join(frame.body for frame in tape.frames)
    assert PROMPT.encode() not in bodies
    assert all(word.encode() not in bodies for word in text.split() if len(word) > 6)
