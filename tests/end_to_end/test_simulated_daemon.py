"""A daemon on simulated devices answers in their time, and says everywhere that no model runs."""

from pathlib import Path

from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.protocol.changes import ChangeOrigin
from sarathid.protocol.control import AuditTrail, GetAudit, Retuned, SetBudget, SetPolicy, SetSLO
from sarathid.protocol.revisions import AuditEvent
from sarathid.protocol.slo import SLOChange
from sarathid.protocol.stats import IterationStats, SettingsChanged
from tests.end_to_end.running_daemon import first_of, launch, serving

PROFILE = "a100/yi-34b-tp2"


def test_a_simulated_daemon_takes_the_profiles_time_and_says_so(tmp_path: Path) -> None:
    body = {"prompt": "The capital of France is", "max_tokens": 4}
    with serving(tmp_path / "run", "--simulate", PROFILE) as daemon, daemon.records() as records:
        with daemon.http() as client:
            (served,) = client.get("/v1/models").json()["data"]
            answer = client.post("/v1/completions", json=body).json()
        decode = first_of(records, IterationStats, lambda stats: stats.num_decode_tokens == 1)
        engine = daemon.status().engine

    assert served["id"] == answer["model"] == f"simulated {PROFILE}"
    assert answer["usage"]["completion_tokens"] == 4
    assert decode.execute_s > 0.9 * IterationCostModel(find_profile(PROFILE)).predict(IterationFeatures(1, 6))
    assert engine is not None
    assert (engine.model, engine.device) == ("simulated yi-34b", "simulated a100")
    assert "no model runs" in engine.notes[0]


def test_an_unknown_profile_is_refused_before_anything_starts(tmp_path: Path) -> None:
    daemon = launch(tmp_path / "run", tmp_path / "run.log", "--simulate", "b200/gpt")

    assert daemon.wait() == 2
    assert "there is no profile 'b200/gpt'" in daemon.log


def test_what_was_changed_and_stays_outlives_the_daemon(tmp_path: Path) -> None:
    flags = ("--simulate", PROFILE)
    with serving(tmp_path / "run", *flags) as daemon:
        daemon.ask(SetBudget(budget=512), Retuned)
        daemon.ask(SetSLO(slo=SLOChange(tbt_s=0.25)), Retuned)
        daemon.ask(SetPolicy(policy="prefill-first", confirm_s=600.0), Retuned)
        daemon.process.kill()
        daemon.process.wait()

    with serving(tmp_path / "run", *flags) as successor:
        settings = successor.status().settings
        assert settings is not None
        assert (settings.budget, settings.slo.tbt_s, settings.policy) == (512, 0.25, "stall-free")
        assert "token_budget 512 (kept)" in successor.log
        trail = successor.ask(GetAudit(), AuditTrail)
        assert [entry.event for entry in trail.entries] == [
            AuditEvent.STARTED,
            *[AuditEvent.CHANGED] * 3,
            AuditEvent.STARTED,
        ]

    with serving(tmp_path / "run", *flags, "--budget", "64") as told:
        settings = told.status().settings
        assert settings is not None
        assert (settings.budget, settings.slo.tbt_s) == (64, 0.25)


def test_a_change_that_nobody_keeps_is_taken_back(tmp_path: Path) -> None:
    with serving(tmp_path / "run", "--simulate", PROFILE, "--budget", "128") as daemon, daemon.records() as records:
        daemon.ask(SetBudget(budget=64, confirm_s=0.1, reason="try it"), Retuned)
        taken_back = first_of(records, SettingsChanged, lambda changed: changed.origin is ChangeOrigin.EXPIRED)

    assert (taken_back.revision, taken_back.token_budget, taken_back.undoes) == (2, 128, 1)
