"""Replays what happened, as it was and under other settings, and sets the one against the other."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from sarathid.protocol.changes import Figures
from sarathid.protocol.plan import Forecast, Planned
from sarathid.protocol.stats import EngineSettings
from sarathid.server.scenario import Scenario

Simulate = Callable[[tuple[str, ...]], Awaitable[Figures]]
"""Runs `sarathid` with these arguments and returns the figures of its window; raises `ControlRefused`."""


async def replay(scenario: Scenario, candidates: Sequence[EngineSettings], simulate: Simulate) -> Planned:
    """Return how a scenario went, how its replay goes, and how it goes under each of `candidates`."""
    with tempfile.TemporaryDirectory(prefix="sarathid-plan-") as name:
        directory = Path(name)
        await asyncio.to_thread(scenario.write, directory)
        replayed = await simulate(scenario.as_it_was(directory))
        forecasts = [
            Forecast(settings=settings, figures=await simulate(scenario.under(settings, directory)))
            for settings in candidates
        ]
    return Planned(
        span_s=scenario.span.end_s - scenario.span.start_s,
        profile=scenario.profile,
        correction=scenario.correction,
        num_requests=len(scenario.requests),
        num_guessed=scenario.num_guessed,
        num_left_out=scenario.num_left_out,
        current=scenario.span.current,
        observed=scenario.span.observed,
        replayed=replayed,
        forecasts=tuple(forecasts),
    )
