"""`sarathid reproduce`: the paper's evaluation in one command, simulated, each value beside the published one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sarathid.costmodel.library import shipped_digest
from sarathid.errors import ConfigError
from sarathid.evaluation.book import Summary, table, write_summary, write_tables
from sarathid.evaluation.catalog import FIGURES, choose
from sarathid.evaluation.figure import FULL, QUICK, Scope
from sarathid.evaluation.jobs import Results, run_jobs
from sarathid.evaluation.pictures import draw
from sarathid.evaluation.row import FigureResult
from sarathid.version import __version__
from sarathid.workload_catalog import MAX_NUM_REQUESTS

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

_NAMES = ", ".join(figure.name for figure in FIGURES)


@app.command()
def reproduce(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where summary.json, REPORT.md and the pictures go.")],
    quick: Annotated[
        bool, typer.Option("--quick", help=f"Fewer cells and {QUICK.num_requests} requests a trial.")
    ] = False,
    num_requests: Annotated[
        int | None,
        typer.Option(
            metavar="N", help=f"A capacity trial's most [{FULL.num_requests}, with --quick {QUICK.num_requests}]."
        ),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help=f"Repeatedly, of {_NAMES}.")] = None,
) -> None:
    """Run Sarathi-Serve's evaluation on simulated devices and write it down beside the paper's figures."""
    scope = _scope(quick, num_requests)
    figures = choose(only or [], quick)
    _make(out)
    digest = shipped_digest()
    _say(f"cost profiles {digest}")
    jobs = [job for figure in figures for job in figure.jobs(scope)]
    outputs = run_jobs(jobs, _say)
    more_jobs = [job for figure in figures for job in figure.more_jobs(scope, outputs)]
    outputs = Results({**outputs.outputs, **run_jobs(more_jobs, _say).outputs})
    results = [figure.result(scope, outputs) for figure in figures]
    rows = tuple(row for result in results for row in result.rows)
    summary = Summary(version=__version__, profiles_sha256=digest, is_simulated=True, rows=rows)
    write_summary(out, summary)
    write_tables(out, summary, scope, results)
    _draw_all(out, results)
    for result in results:
        typer.echo("\n".join(("", result.title, *table(result.rows))))


def _scope(is_quick: bool, num_requests: int | None) -> Scope:
    scope = QUICK if is_quick else FULL
    if num_requests is None:
        return scope
    if not 16 <= num_requests <= MAX_NUM_REQUESTS:
        raise ConfigError(f"{num_requests} requests a trial is not between 16 and {MAX_NUM_REQUESTS}")
    return replace(scope, num_requests=num_requests)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory}: {error.strerror}") from error


def _draw_all(directory: Path, results: Sequence[FigureResult]) -> None:
    try:
        for result in results:
            draw(directory, result)
    except ImportError:
        _say("no pictures: matplotlib is not installed; pip install 'sarathid[plots]'")


def _say(words: str) -> None:
    typer.echo(words, err=True)
