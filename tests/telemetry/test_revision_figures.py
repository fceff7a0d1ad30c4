import msgspec
import pytest

from sarathid.protocol.changes import Figures
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import EngineSettings, FirstToken, StageTime, TokenGap
from sarathid.telemetry.revision_figures import RevisionFigures
from tests.factories import make_iteration

SETTINGS = EngineSettings(revision=7, token_budget=128, policy="stall-free", slo=SLO(tbt_s=0.05))


def test_what_runs_under_the_revision_counts_from_when_it_came_in_force() -> None:
    figures = RevisionFigures(SETTINGS, since_s=100.0, max_s=300.0)
    assert figures.summary(now_s=110.0) is None
    stats = msgspec.structs.replace(
        make_iteration(gaps=(TokenGap(1, 0.1), TokenGap(2, 0.1), TokenGap(3, 0.1))), first_tokens=(FirstToken(4, 0.5),)
    )
    stats = msgspec.structs.replace(stats, stages=(StageTime(0.0, 0.03, 0.0), StageTime(0.03, 0.02, 0.02)))
    figures.observe(stats)
    figures.observe(msgspec.structs.replace(stats, revision=7))
    figures.observe(msgspec.structs.replace(stats, revision=8))

    expected = Figures(
        window_s=10.0,
        tbt_p50_s=0.1,
        tbt_p99_s=0.1,
        ttft_p50_s=0.5,
        ttft_p95_s=0.5,
        ttft_p99_s=0.5,
        tokens_per_s=0.4,
        num_stalls=3,
        tbt_max_s=0.1,
        bubble=0.5,
    )
    seen = figures.summary(now_s=110.0)
    assert seen is not None
    assert msgspec.structs.asdict(seen) == pytest.approx(msgspec.structs.asdict(expected), rel=0.01)
    late = figures.summary(now_s=1000.0)
    assert late is not None
    assert late.window_s == 300.0
    assert late.tokens_per_s == pytest.approx(4 / 300)
