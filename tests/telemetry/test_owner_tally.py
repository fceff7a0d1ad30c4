"""Tokens are counted for those who asked for them, and only so many owners are told apart."""

from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import ChunkStats, FirstToken, RequestArrival, TokenGap
from sarathid.telemetry.owner_tally import MAX_OWNERS, OTHERS, OwnerTally
from sarathid.telemetry.timeline import refused_stats
from tests.factories import make_iteration, make_request


def arrival(request_id: int, owner: str) -> RequestArrival:
    return RequestArrival(
        request_id=request_id, client="", arrival_s=0.0, num_prompt_tokens=8, max_tokens=None, owner=owner
    )


def test_tokens_are_counted_for_those_who_asked_and_forgotten_after_the_window() -> None:
    tally = OwnerTally(60.0)
    tally.observe(arrival(1, "web"))
    tally.observe(make_iteration(1, start_s=1.0, chunks=(ChunkStats(1, 0, 8, 8),), num_decode_tokens=0))
    tally.observe(arrival(2, "batch"))
    tally.observe(
        make_iteration(
            2,
            start_s=50.0,
            chunks=(ChunkStats(2, 0, 20, 30),),
            first_tokens=(FirstToken(1, 0.1),),
            gaps=(TokenGap(3, 0.1),),
        )
    )

    assert tally.recent(50.0) == {"web": 9, "batch": 20, OTHERS: 1}
    assert tally.recent(100.0) == {"web": 1, "batch": 20, OTHERS: 1}
    assert tally.recent(150.0) == {}
    assert +tally.num_prefill_tokens == {"web": 8, "batch": 20}
    assert tally.num_output_tokens == {"web": 1, OTHERS: 1}


def test_owners_are_told_apart_up_to_a_number() -> None:
    tally = OwnerTally(60.0)
    for number in range(2 * MAX_OWNERS):
        tally.observe(arrival(number, f"key {number}"))
        tally.observe(make_iteration(number, chunks=(ChunkStats(number, 0, 8, 8),)))

    assert len(tally.num_prefill_tokens) == MAX_OWNERS + 1
    assert tally.num_prefill_tokens["key 0"] == 8
    assert tally.num_prefill_tokens[OTHERS] == 8 * MAX_OWNERS


def test_an_owner_is_alone_again_when_the_requests_of_others_have_ended() -> None:
    tally = OwnerTally(60.0)
    for number, owner in enumerate(("web", "batch", "batch")):
        tally.observe(arrival(number, owner))
    for number in (1, 2):
        ended = refused_stats(make_request(number), 1.0)
        assert ended.finish_reason is FinishReason.ERROR
        tally.observe(ended)
    tally.observe(make_iteration(1, gaps=(TokenGap(99, 0.1),)))

    assert tally.num_output_tokens == {"web": 1}, "all is the only owner's"
