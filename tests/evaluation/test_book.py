"""Rows become tables and a summary that machines read."""

import json
from pathlib import Path

import pytest

from sarathid.evaluation.book import Summary, table, write_summary, write_tables
from sarathid.evaluation.figure import QUICK
from sarathid.evaluation.pictures import draw
from sarathid.evaluation.row import Curve, FigureResult, Row


def row(ours: float | None = 5.0, paper: float | None = 4.0, is_lower_bound: bool = False) -> Row:
    return Row(
        figure="fig10",
        model="yi-34b",
        workload="sharegpt4",
        slo="strict",
        system="stall-free",
        baseline="prefill-first",
        ours=ours,
        paper=paper,
        unit="x",
        num_requests=256,
        is_lower_bound=is_lower_bound,
    )


def summary_of(*rows: Row) -> Summary:
    return Summary(version="1.0", profiles_sha256="abc", is_simulated=True, rows=rows)


def result_of(*rows: Row, curves: tuple[Curve, ...] = ()) -> FigureResult:
    return FigureResult(name="fig10", title="Figure 10", notes="Made up.", rows=rows, curves=curves)


def test_a_row_tells_ours_the_papers_and_their_ratio() -> None:
    assert list(table([row()])) == [
        "| model | workload | slo | system | baseline | ours | paper | ours / paper | unit | requests |",
        "|---|---|---|---|---|---|---|---|---|---|",
        "| yi-34b | sharegpt4 | strict | stall-free | prefill-first | 5 | 4 | 1.25 | x | 256 |",
    ]


def test_a_baseline_below_all_that_was_tried_gives_a_lower_bound() -> None:
    assert "| more than 5 | - | - |" in list(table([row(paper=None, is_lower_bound=True), row()]))[2]


def test_the_summary_has_the_rows_as_they_are(tmp_path: Path) -> None:
    write_summary(tmp_path, summary_of(row(), row(ours=None)))
    first, second = json.loads((tmp_path / "summary.json").read_text())["rows"]

    assert first == {
        "figure": "fig10",
        "model": "yi-34b",
        "workload": "sharegpt4",
        "slo": "strict",
        "system": "stall-free",
        "baseline": "prefill-first",
        "ours": 5.0,
        "paper": 4.0,
        "unit": "x",
        "num_requests": 256,
        "is_lower_bound": False,
    }
    assert second["ours"] is None


def test_the_report_names_the_profiles_that_it_was_made_with(tmp_path: Path) -> None:
    write_tables(tmp_path, summary_of(row()), QUICK, [result_of(row())])
    text = (tmp_path / "REPORT.md").read_text()

    assert "`abc`" in text
    assert "at most 256 requests a capacity trial" in text
    assert "## Figure 10" in text


@pytest.mark.parametrize("curves", [(), (Curve("a line", ((0.0, 1.0), (2.0, 3.0))),)], ids=["bars", "curves"])
def test_pictures_are_drawn_where_there_is_a_plotting_library(tmp_path: Path, curves: tuple[Curve, ...]) -> None:
    pytest.importorskip("matplotlib")
    draw(tmp_path, result_of(row(), row(ours=None), curves=curves))

    assert (tmp_path / "fig10.svg").read_text().startswith("<?xml")
    assert (tmp_path / "fig10.png").read_bytes().startswith(b"\x89PNG")
