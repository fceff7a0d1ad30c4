"""Clients held beside each other by their ended requests."""

import msgspec

from sarathictl.state.clients import ClientFigures, client_figures
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import RequestStats


def ended(client: str, ttft_s: float | None, tbt_max_s: float | None, num_stalls: int = 0) -> RequestStats:
    return RequestStats(
        request_id=1,
        client=client,
        arrival_s=10.0,
        scheduled_s=None,
        first_token_s=None if ttft_s is None else 10.0 + ttft_s,
        finished_s=20.0,
        finish_reason=FinishReason.LENGTH,
        num_prompt_tokens=8,
        num_output_tokens=4,
        num_preemptions=0,
        num_recomputed_tokens=0,
        num_stalls=num_stalls,
        tbt_p50_s=None,
        tbt_max_s=tbt_max_s,
    )


def test_the_processes_of_a_client_are_one_and_the_busiest_client_is_first() -> None:
    found = client_figures(
        [
            ended("batch", 2.0, 0.1),
            ended("0/17/python web", 0.5, 0.25, num_stalls=3),
            ended("0/99/python web", None, None),
        ]
    )
    assert [client.client for client in found] == ["0/python web", "batch"]
    assert found[0] == ClientFigures(
        client="0/python web",
        num_requests=2,
        num_output_tokens=8,
        ttft_p50_s=0.5,
        ttft_p95_s=0.5,
        worst_p50_s=0.25,
        worst_max_s=0.25,
        stalled=0.5,
    )


def test_a_client_whose_requests_got_nothing_has_no_latencies() -> None:
    (found,) = client_figures([ended("batch", None, None)])
    assert (found.ttft_p50_s, found.worst_max_s, found.stalled) == (None, None, 0.0)
    assert msgspec.to_builtins(found)["num_requests"] == 1
