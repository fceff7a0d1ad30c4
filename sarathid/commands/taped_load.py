"""`sarathid simulate --tape`: what a recording's requests would have seen under other settings."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import typer

from sarathid.config import resolve_target_s
from sarathid.errors import ConfigError, ControlRefused
from sarathid.protocol.changes import Figures
from sarathid.protocol.plan import Planned
from sarathid.protocol.slo import SLOChange, read_budget
from sarathid.protocol.stats import EngineInfo
from sarathid.protocol.step import ChangeSettings
from sarathid.server.recorded_load import Recorded, read_load
from sarathid.server.rehearsal import replay
from sarathid.server.simulation_child import simulate_window
from sarathid.slo.controller import BudgetBounds, check_change
from sarathid.slo.revisions import Retuning
from sarathid.tape.tape import Tape

MAX_S = 1800  # of one run


def replay_tape(
    path: Path,
    *,
    profile: str | None,
    budget: str | None,
    policy: str | None,
    slo_tbt: str | None,
    slo_ttft: str | None,
    record: Path | None,
    as_json: bool,
) -> None:
    """Print how well a replay tells what did happen, and what would have under what is given of the settings.

    The run under them, or the replay as it was where none are, goes to `record` as a recording that begins when the
    original did. Raises `ConfigError` for what can't be.
    """
    tape = Tape.read(path)
    found = read_load(tape, profile)
    wanted = _retuning(found.engine, budget, policy, slo_tbt, slo_ttft)
    try:
        planned = asyncio.run(_replay(found, wanted, tape, record))
    except ControlRefused as refused:
        raise ConfigError(str(refused)) from refused
    typer.echo(msgspec.json.encode(planned).decode() if as_json else "\n".join(_lines(planned)))


async def _replay(found: Recorded, wanted: Retuning, tape: Tape, record: Path | None) -> Planned:
    scenario = found.scenario
    candidates = [wanted.applied_to(scenario.span.current)] if wanted.names else []
    began_s = scenario.start_s + tape.header.wall_offset_s
    with tempfile.TemporaryDirectory(prefix="sarathid-tape-") as name:
        newest = Path(name) / "run.srec"

        async def simulate(arguments: tuple[str, ...]) -> Figures:
            newest.unlink(missing_ok=True)
            recording = () if record is None else ("--record", str(newest), "--record-from", str(began_s))
            return await simulate_window((*arguments, *recording), MAX_S)

        planned = await replay(scenario, candidates, simulate)
        if record is not None:
            shutil.move(newest, record)
    return planned


def _retuning(
    engine: EngineInfo, budget: str | None, policy: str | None, slo_tbt: str | None, slo_ttft: str | None
) -> Retuning:
    """Return the settings to try; raises `ConfigError` for one that the engine could not have taken."""
    targets = {
        name: None if text == "off" else resolve_target_s(text, engine.isolated_decode_s)
        for name, text in (("tbt_s", slo_tbt), ("ttft_s", slo_ttft))
        if text is not None
    }
    try:
        wanted = Retuning(
            budget=None if budget is None else read_budget(budget),
            policy=policy,
            slo=msgspec.convert(targets, SLOChange) if targets else None,
        )
        bounds = BudgetBounds(engine.min_token_budget, engine.max_token_budget)
        check_change(ChangeSettings(change_id=0, budget=wanted.budget, policy=wanted.policy), bounds)
    except ValueError as error:
        raise ConfigError(f"--budget: {budget!r} is not understood; {error}") from None
    except ControlRefused as refused:
        raise ConfigError(f"{refused}; {refused.hint}") from refused
    return wanted


def _lines(planned: Planned) -> Iterator[str]:
    guessed = f", {planned.num_guessed} of them unfinished" if planned.num_guessed else ""
    yield f"{planned.span_s:.0f} s of {planned.num_requests} requests{guessed}, on the cost profile {planned.profile}"
    yield f"{'':22}{'TBT P50':>10}{'TBT P99':>10}{'TTFT P50':>10}{'TTFT P99':>10}{'tokens/s':>10}{'stalls':>8}"
    yield _line("as it was observed", planned.observed)
    yield _line("as it is replayed", planned.replayed)
    for forecast in planned.forecasts:
        yield _line(f"{forecast.settings.policy}, {forecast.settings.budget}", forecast.figures)


def _line(name: str, figures: Figures) -> str:
    times = (figures.tbt_p50_s, figures.tbt_p99_s, figures.ttft_p50_s, figures.ttft_p99_s)
    cells = "".join(f"{'-' if time_s is None else f'{time_s * 1e3:.1f} ms':>10}" for time_s in times)
    stalls = "-" if figures.num_stalls is None else figures.num_stalls
    return f"{name:22}{cells}{figures.tokens_per_s:>10.1f}{stalls:>8}"
