"""A daemon under load replays its own last seconds, and what it predicts of them is what it saw."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sarathid.protocol.control import AuditTrail, GetAudit, Plan, Retuned, SetBudget
from sarathid.protocol.plan import Candidate, Planned
from sarathid.protocol.revisions import AuditEvent
from tests.end_to_end.running_daemon import RunningDaemon, serving, wait_until

PROFILE = "a100/yi-34b-tp2"
NUM_CLIENTS = 6


def complete(daemon: RunningDaemon, num_words: int) -> None:
    body = {"prompt": "word " * num_words, "max_tokens": 20, "ignore_eos": True}
    with daemon.http() as client:
        client.post("/v1/completions", json=body).raise_for_status()


def test_a_daemon_replays_its_own_load_and_notes_a_forecast(tmp_path: Path) -> None:
    with serving(tmp_path / "run", "--simulate", PROFILE, "--budget", "512", "--slo-tbt", "200ms") as daemon:
        with ThreadPoolExecutor(NUM_CLIENTS) as clients:
            list(clients.map(lambda i: complete(daemon, 200 + 300 * i), range(NUM_CLIENTS)))
        wait_until(lambda: daemon.status().num_finished == NUM_CLIENTS, "has noted that all have ended")
        planned = daemon.ask(Plan(candidates=(Candidate(budget=4096), Candidate(budget=128))), Planned)
        large, small = (forecast.figures for forecast in planned.forecasts)
        daemon.ask(SetBudget(budget=128, predicted=small), Retuned)
        trail = daemon.ask(GetAudit(), AuditTrail)

    assert (planned.profile, planned.num_requests, planned.num_guessed) == (PROFILE, NUM_CLIENTS, 0)
    assert planned.observed.tbt_p50_s is not None and planned.replayed.tbt_p50_s is not None
    assert 0.5 < planned.replayed.tbt_p50_s / planned.observed.tbt_p50_s < 2.0
    assert abs(planned.replayed.tokens_per_s / planned.observed.tokens_per_s - 1.0) < 0.05
    assert large.ttft_p99_s is not None and small.ttft_p99_s is not None
    assert large.ttft_p99_s < small.ttft_p99_s
    (changed,) = [entry.revision for entry in trail.entries if entry.event is AuditEvent.CHANGED]
    assert changed.predicted == small
