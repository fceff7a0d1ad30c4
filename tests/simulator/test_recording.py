"""A simulated run is recorded like a real one: with what stood every second, and all that happened between."""

import itertools

from sarathid.protocol.stats import IterationStats, RequestArrival, RequestStats, SettingsChanged
from sarathid.simulator.serving import Serving
from sarathid.simulator.timed_change import parse_timed_change
from sarathid.workload import PlannedRequest
from tests.simulator.recorded import WALL_START_S, recorded

REQUESTS = [PlannedRequest(0.0, 600, 100), PlannedRequest(0.4, 3000, 20), PlannedRequest(2.5, 40, 30)]
SERVING = Serving(token_budget=512, slo_tbt_s=0.1)


def test_every_second_begins_with_what_stands() -> None:
    segments = list(recorded(REQUESTS, SERVING, 60.0).segments())

    assert [segment.key.info.cost_profile for segment in segments if segment.key.info] == ["a100/yi-34b-tp2"] * len(
        segments
    )
    middle = next(segment for segment in segments if segment.key.time_s > 1.0)
    assert [(row.request_id, row.max_tokens) for row in middle.key.requests] == [(0, 100), (1, 20)]
    assert middle.key.num_blocks_used > 0
    starts_s = [segment.key.time_s for segment in segments]
    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(starts_s))


def test_every_request_comes_gets_its_tokens_and_ends() -> None:
    tape = recorded(REQUESTS, SERVING, 60.0)
    records = [record for segment in tape.segments() for record in segment.records]
    iterations = [record for record in records if isinstance(record, IterationStats)]

    assert tape.header.wall_offset_s == WALL_START_S
    assert [record.arrival_s for record in records if isinstance(record, RequestArrival)] == [0.0, 0.4, 2.5]
    assert sorted(record.num_output_tokens for record in records if isinstance(record, RequestStats)) == [20, 30, 100]
    assert sum(len(record.gaps) + len(record.first_tokens) for record in iterations) == 150
    assert [record.sequence_number for record in iterations] == list(range(len(iterations)))


def test_a_change_on_the_way_is_a_revision() -> None:
    tape = recorded(REQUESTS, SERVING, 60.0, [parse_timed_change("0.5s:budget=256,slo-tbt=200ms,slo-ttft=2s")])
    segments = list(tape.segments())

    (change,) = [record for segment in segments for record in segment.records if isinstance(record, SettingsChanged)]
    assert (change.revision, change.token_budget, change.slo.tbt_s, change.slo.ttft_s) == (1, 256, 0.2, 2.0)
    assert segments[-1].key.settings == change.settings
