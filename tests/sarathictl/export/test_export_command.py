"""`sarathictl export`: a recording as Perfetto, Prometheus, a spreadsheet and jq read it, and nobody's name in it."""

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sarathictl.export.jsonl import Line
from sarathictl.export.tables import TableName, write_csv
from sarathictl.export.told import Names
from sarathictl.state.engine_state import time_of
from sarathid.protocol.control import GetRecording, RecordingPart
from sarathid.protocol.stats import IterationStats, RequestStats, StallEvent, StreamRecord
from sarathid.tape.tape import Tape
from tests.sarathictl.paper_tape import CLIENT, WALL_OFFSET_S, make_tape
from tests.sarathictl.records import START_S
from tests.sarathictl.stub_daemon import StubDaemon
from tests.trace.perfetto_trace import read_trace

FORMS = ["perfetto", "csv", "jsonl", "openmetrics"]


@pytest.fixture(scope="module")
def tape() -> Tape:
    return make_tape()


@pytest.fixture
def file(tape: Tape, tmp_path: Path) -> Path:
    path = tmp_path / "run.srec"
    path.write_bytes(tape.to_bytes())
    return path


@pytest.fixture
def exported(sarathictl: Any, file: Path, tmp_path: Path) -> Any:
    def export(form: str, *options: str) -> bytes:
        outcome = sarathictl("export", form, str(file), "--out", str(tmp_path / form), *options)
        assert outcome.code == 0, outcome.err
        return (tmp_path / form).read_bytes()

    return export


def records_of(tape: Tape, kind: type[StreamRecord]) -> list[Any]:
    return [record for segment in tape.segments() for record in segment.records if isinstance(record, kind)]


def test_a_trace_has_every_iteration_and_request_and_an_arrow_from_each_victim(tape: Tape, exported: Any) -> None:
    trace = read_trace(exported("perfetto"))
    stalls: list[StallEvent] = records_of(tape, StallEvent)

    assert len(trace.on("iterations")) == len(records_of(tape, IterationStats))
    assert len(trace.arrows) == sum(len(stall.victims) for stall in stalls) > 0
    victims = Counter(f"request {victim.request_id}" for stall in stalls for victim in stall.victims)
    assert Counter(victim.lane.split(" of ")[0] for victim, _ in trace.arrows) == victims
    stall = max(stalls, key=lambda stall: stall.worst_gap_s)
    assert stall.chunk is not None
    until = stall.chunk.start + stall.chunk.length
    words = f"tokens {stall.chunk.start} to {until} of {stall.chunk.num_tokens}"
    assert {(culprit.lane.split(" of ")[0], culprit.name) for _, culprit in trace.arrows} >= {
        (f"request {stall.chunk.request_id}", words)
    }
    assert set(trace.units) >= {"token budget", "KV blocks used", "longest TBT"}
    assert trace.wall_offset_ns == WALL_OFFSET_S * 1e9


@pytest.mark.parametrize(
    ("name", "kind"), [("iterations", IterationStats), ("requests", RequestStats), ("stalls", StallEvent)]
)
def test_a_table_has_a_row_a_record(tape: Tape, exported: Any, name: str, kind: type[StreamRecord]) -> None:
    rows = list(csv.DictReader(io.StringIO(exported("csv", "--table", name).decode())))
    records = records_of(tape, kind)

    assert len(rows) == len(records) > 0
    assert [float(row["at_s"]) for row in rows] == pytest.approx(
        [time_of(record) + WALL_OFFSET_S for record in records]
    )


def test_a_stalls_row_names_victims_and_culprit(tape: Tape, exported: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(exported("csv", "--table", "stalls").decode())))
    stall: StallEvent = records_of(tape, StallEvent)[0]

    assert rows[0]["victims"].split() == [str(victim.request_id) for victim in stall.victims]
    assert stall.chunk is not None
    assert rows[0]["chunk_request_id"] == str(stall.chunk.request_id)
    parts = sum(
        float(cell)
        for column, cell in rows[0].items()
        if column in {"prefill_s", "decode_s", "overhead_s", "unexplained_s"}
    )
    assert parts == pytest.approx(stall.worst_gap_s, abs=2e-3)


def test_every_line_of_json_is_a_record_that_reads_back(tape: Tape, exported: Any) -> None:
    lines = [msgspec.json.decode(line, type=Line) for line in exported("jsonl").splitlines()]

    assert [line.record for line in lines if isinstance(line.record, IterationStats)] == records_of(
        tape, IterationStats
    )
    assert {line.schema_version for line in lines} == {1}


def test_metrics_are_what_prometheus_own_parser_reads(tape: Tape, exported: Any) -> None:
    text = exported("openmetrics").decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    iterations: list[IterationStats] = records_of(tape, IterationStats)

    assert families["sarathid_iterations"].samples[-1].value == len(iterations)
    num_gaps = sum(len(iteration.gaps) for iteration in iterations)
    buckets = [
        sample
        for sample in families["sarathid_inter_token_latency_seconds_bucket"].samples
        if sample.labels["le"] == "+Inf"
    ]
    assert buckets[-1].value == families["sarathid_inter_token_latency_seconds_count"].samples[-1].value == num_gaps
    moments = [float(sample.timestamp) for sample in families["sarathid_iterations"].samples]
    assert moments == sorted(set(moments))
    assert moments[0] == WALL_OFFSET_S + START_S + 1.0
    assert families["sarathid_slo_tbt_seconds"].samples[-1].value == 0.1


@pytest.mark.parametrize("form", FORMS)
def test_who_asked_is_told_only_when_it_is_wanted(exported: Any, form: str, tmp_path: Path) -> None:
    options = ("--table", "requests") if form == "csv" else ()
    assert CLIENT.encode() not in exported(form, *options)
    (tmp_path / form).unlink()
    if form in ("perfetto", "jsonl"):
        assert CLIENT.encode() in exported(form, "--names")


def test_a_cell_is_never_a_formula(sarathictl: Any, tmp_path: Path, tape: Tape) -> None:
    class Formulas(Names):
        def instead_of(self, name: str) -> str:
            return f"={name}"

    out = io.BytesIO()
    write_csv(tape, out, Formulas(), TableName.REQUESTS)
    assert b",'=paper," in out.getvalue()


def test_it_comes_from_the_daemons_recorder_and_no_more_than_is_wanted(
    sarathictl: Any, tape: Tape, tmp_path: Path
) -> None:
    def part(op: GetRecording) -> RecordingPart:
        return RecordingPart(frames=tape.to_bytes(), since_s=START_S + 11.0)

    with StubDaemon(tmp_path, {GetRecording: part}) as daemon:
        outcome = sarathictl("export", "jsonl", "--last", "2s", "--out", str(tmp_path / "out"))
    assert outcome.code == 0, outcome.err
    assert [op.last_s for op in daemon.asked if isinstance(op, GetRecording)] == [2.0]
    first = json.loads((tmp_path / "out").read_bytes().splitlines()[0])
    assert first["at_s"] >= WALL_OFFSET_S + START_S + 10.0


def test_a_file_that_is_there_is_not_written_over(sarathictl: Any, file: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    outcome = sarathictl("export", "jsonl", str(file), "--out", str(tmp_path / "there"))
    assert (outcome.code, (tmp_path / "there").read_text()) == (2, "mine")
    assert "name another file" in outcome.err


def test_without_a_daemon_and_its_files_there_is_nothing_to_export(sarathictl: Any) -> None:
    assert sarathictl("export", "csv").code == 3
