"""The ring of requests that ended gives back what it was given, the latest of it."""

import math

from sarathid.telemetry.past_requests import PastRequest, PastRequests


def make_past(ended_s: float, first_token_s: float | None = None) -> PastRequest:
    return PastRequest(
        arrival_s=ended_s - 1.5,
        first_token_s=first_token_s,
        ended_s=ended_s,
        num_prompt_tokens=1 << 20,
        num_output_tokens=0,
    )


def test_what_is_added_comes_back_oldest_first() -> None:
    added = [make_past(7.25), make_past(8.0, first_token_s=7.0), make_past(math.inf)]
    past = PastRequests(3)
    for request in added:
        past.add(request)

    assert list(past) == added
    assert past.oldest == added[0]
    assert past.is_full


def test_a_full_ring_forgets_the_oldest() -> None:
    past = PastRequests(2)
    for ended_s in (1.0, 2.0, 3.0, 4.0, 5.0):
        past.add(make_past(ended_s))

    assert [request.ended_s for request in past] == [4.0, 5.0]


def test_a_ring_that_was_cleared_begins_anew() -> None:
    past = PastRequests(2)
    past.add(make_past(1.0))
    past.clear()
    assert (list(past), past.is_full) == ([], False)

    past.add(make_past(2.0))
    assert [request.ended_s for request in past] == [2.0]
