"""The named workloads match the paper's Table 2; what cannot be a workload is refused in one line."""

import statistics
from typing import NamedTuple

import pytest

from sarathid.errors import ConfigError
from sarathid.workload_catalog import load_requests, parse_scale


class Published(NamedTuple):
    """Median, 90th percentile and standard deviation in tokens."""

    median: int
    p90: int
    std: int


# Table 2, the output's standard deviations exchanged.
TABLE_2 = {
    "sharegpt4": (Published(1730, 5696, 2088), Published(415, 834, 265)),
    "arxiv": (Published(7059, 12985, 3638), Published(208, 371, 101)),
}
MAX_TOTAL = {"sharegpt4": 8192, "arxiv": 16384}


def summary(lengths: list[int]) -> tuple[float, float, float]:
    return statistics.median(lengths), statistics.quantiles(lengths, n=10)[8], statistics.pstdev(lengths)


@pytest.mark.parametrize("name", TABLE_2)
def test_a_dataset_has_the_published_lengths(name: str) -> None:
    listed = load_requests(name, num_requests=20_000, seed=1)
    prompt, output = TABLE_2[name]

    assert summary([request.num_prompt_tokens for request in listed.requests]) == pytest.approx(prompt, rel=0.03)
    assert summary([request.num_output_tokens for request in listed.requests]) == pytest.approx(output, rel=0.03)
    assert max(request.num_tokens for request in listed.requests) <= listed.max_model_len == MAX_TOTAL[name]


def test_lengths_are_scaled_and_stay_within_the_scaled_context() -> None:
    whole = load_requests("sharegpt4", num_requests=500, seed=2)
    eighth = load_requests("sharegpt4", num_requests=500, seed=2, scale=8)

    assert [request.num_prompt_tokens for request in eighth.requests] == [
        -(-request.num_prompt_tokens // 8) for request in whole.requests
    ]
    assert max(request.num_tokens for request in eighth.requests) <= eighth.max_model_len


def test_bursty_arrivals_keep_the_rate() -> None:
    listed = load_requests("constant:10:2", num_requests=5000, burstiness=2.0)

    assert listed.requests[-1].arrival_s == pytest.approx(5000, rel=0.1)


@pytest.mark.parametrize("name", ["constant:100:20", "uniform:100-100:20-20"])
def test_simple_workloads_have_the_lengths_they_are_told(name: str) -> None:
    listed = load_requests(name, num_requests=3)

    assert [(request.num_prompt_tokens, request.num_output_tokens) for request in listed.requests] == [(100, 20)] * 3
    assert listed.max_model_len == 120


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sharegpt5", "no workload 'sharegpt5'; give sharegpt4"),
        ("constant:100", "'' is not a number of tokens"),
        ("constant:0:5", "'0' is not a number"),
        ("uniform:9-3:1-2", "9-3 is no range"),
        ("nowhere.csv", "nowhere.csv: .*No such file"),
    ],
)
def test_what_is_no_workload_is_told(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_requests(name)


@pytest.mark.parametrize("text", ["8", "1:0", "2:8", "1:x", "1:-8", ""])
def test_what_is_no_scale_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="write 1:8"):
        parse_scale(text)
