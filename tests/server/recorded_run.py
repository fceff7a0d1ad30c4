"""A simulated engine's run as the daemon's load sees it, in virtual time."""

from collections.abc import Sequence

import msgspec

from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import EngineSettings, SettingsChanged
from sarathid.protocol.step import StepOutput
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate
from sarathid.simulator.timed_change import TimedChange
from sarathid.simulator.window import Window
from sarathid.telemetry.recent_load import RecentLoad
from sarathid.workload import PlannedRequest

PROFILE = "a100/yi-34b-tp2"
SETTINGS = EngineSettings(revision=0, token_budget=512, policy="stall-free", slo=SLO(tbt_s=0.2))


def record_run(
    requests: Sequence[PlannedRequest],
    until_s: float,
    changes: Sequence[TimedChange] = (),
    correction: float = 1.0,
    profile: str = PROFILE,
) -> RecentLoad:
    """Return what a daemon remembers at `until_s` of an engine that served these requests from 0 on."""
    load, found = RecentLoad(), find_profile(profile)
    load.begin(IterationCostModel(found), SETTINGS, 0.0)
    settings = SETTINGS
    for change in changes:
        budget = change.change.budget
        assert isinstance(budget, int)
        settings = msgspec.structs.replace(settings, revision=settings.revision + 1, token_budget=budget)
        load.observe(
            SettingsChanged(
                time_s=change.at_s,
                iteration=0,
                revision=settings.revision,
                token_budget=budget,
                policy=settings.policy,
                slo=settings.slo,
            )
        )

    def note(output: StepOutput) -> None:
        if output.stats is not None and output.stats.end_s <= until_s:
            load.observe(output.stats)
            for ended in output.finished:
                load.observe(ended)

    serving = Serving(token_budget=512, slo_tbt_s=0.2, correction=correction)
    simulate(found, serving, requests, changes=changes, window=Window(0.0, until_s), on_step=note)
    return load
