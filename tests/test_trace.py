"""A trace is a JSON array of slices and counters that Perfetto's importer takes."""

import io
import json

from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import ChunkStats, RequestStats
from sarathid.trace import TraceWriter
from tests.factories import make_iteration


def test_iterations_and_requests_become_slices_in_microseconds() -> None:
    file = io.BytesIO()
    writer = TraceWriter(file)
    writer.add_iteration(
        make_iteration(start_s=1.0, execute_s=0.5, num_decode_tokens=3, chunks=(ChunkStats(7, 0, 5, 9),))
    )
    writer.add_request(
        RequestStats(
            request_id=7,
            client="",
            arrival_s=0.5,
            scheduled_s=1.0,
            first_token_s=1.5,
            finished_s=4.0,
            finish_reason=FinishReason.LENGTH,
            num_prompt_tokens=9,
            num_output_tokens=2,
            num_preemptions=0,
            num_recomputed_tokens=0,
            num_stalls=0,
            tbt_p50_s=None,
            tbt_max_s=None,
        )
    )
    writer.close()
    events = json.loads(file.getvalue())

    slices = [(event["name"], event["ts"], event["dur"]) for event in events if event["ph"] == "X"]
    assert slices == [
        ("3 decodes + 5 prefill", 1e6, 5e5),
        ("waiting", 5e5, 5e5),
        ("prefill", 1e6, 5e5),
        ("decode", 1.5e6, 2.5e6),
    ]
    assert {event["ph"] for event in events} == {"M", "X", "C"}


def test_iterations_that_overlap_get_lanes_of_their_own() -> None:
    file = io.BytesIO()
    writer = TraceWriter(file)
    for start_s in (0.0, 0.03, 0.05):
        writer.add_iteration(make_iteration(start_s=start_s, execute_s=0.05))
    writer.close()

    assert [event["tid"] for event in json.loads(file.getvalue()) if event["ph"] == "X"] == [0, 1, 0]
