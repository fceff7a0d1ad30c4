"""Request lists are read from both CSV formats and moved to other rates; a wrong value is named with its place."""

from pathlib import Path

import pytest

from sarathid.errors import ConfigError
from sarathid.request_list import RequestList, read_csv
from sarathid.workload import PlannedRequest

TIMED = "arrived_at,num_prefill_tokens,num_decode_tokens\n"
UNTIMED = "id,t_unit,prompt,output\n"


def written(directory: Path, text: str) -> Path:
    path = directory / "requests.csv"
    path.write_text(text)
    return path


def test_a_timed_file_keeps_its_seconds(tmp_path: Path) -> None:
    listed = read_csv(written(tmp_path, TIMED + "0.5,100,10\n4.0,7,300\n"))

    assert listed == RequestList((PlannedRequest(0.5, 100, 10), PlannedRequest(4.0, 7, 300)), 0.5, 307)


def test_a_request_may_wait_since_before_the_run(tmp_path: Path) -> None:
    listed = read_csv(written(tmp_path, TIMED + "-3.0,100,10\n1.0,7,300\n"))

    assert [request.arrival_s for request in listed.requests] == [-3.0, 1.0]
    assert listed.rate_per_s == 0.5


def test_an_untimed_file_needs_a_rate(tmp_path: Path) -> None:
    listed = read_csv(written(tmp_path, UNTIMED + "0,2.0,100,10\n1,3.0,7,300\n"))

    assert listed.rate_per_s is None
    assert [request.arrival_s for request in listed.at_rate(4.0).requests] == [0.5, 0.75]


def test_a_timed_file_can_be_stretched_to_a_rate(tmp_path: Path) -> None:
    listed = read_csv(written(tmp_path, TIMED + "1.0,1,1\n2.0,1,1\n")).at_rate(4.0)

    assert [request.arrival_s for request in listed.requests] == [0.25, 0.5]


@pytest.mark.parametrize(("duration_s", "num_requests"), [(0.1, 1), (1.0, 1), (1.5, 1), (2.0, 2), (9.0, 3)])
def test_those_that_come_within_a_time_are_kept_and_at_least_one(
    tmp_path: Path, duration_s: float, num_requests: int
) -> None:
    listed = read_csv(written(tmp_path, TIMED + "1.0,1,1\n2.0,1,1\n3.0,1,1\n"))

    assert listed.within(duration_s).requests == listed.requests[:num_requests]


def test_requests_that_come_at_once_have_no_rate_to_stretch(tmp_path: Path) -> None:
    listed = read_csv(written(tmp_path, TIMED + "0.0,1,1\n0,1,1\n"))

    assert [request.arrival_s for request in listed.requests] == [0.0, 0.0]
    with pytest.raises(ConfigError, match="come all at once"):
        listed.at_rate(1.0)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("0.5,-100,10\n", r"requests.csv:2: num_prefill_tokens is '-100', not a number of tokens of at least 1"),
        ("0.5,100,10\n0.6,5,0\n", r":3: num_decode_tokens is '0'"),
        ("nan,100,10\n", r":2: arrived_at is 'nan', not a time"),
        ("2e9,100,10\n", r":2: arrived_at is '2e9'"),
        ("0.5,1e3,10\n", r":2: num_prefill_tokens is '1e3'"),
        ("0.5,100\n", r":2: num_decode_tokens is None"),
        ("2.0,1,1\n1.0,1,1\n", r":3: arrived_at goes back"),
        ("", "there is no request in it"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(tmp_path: Path, rows: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_csv(written(tmp_path, TIMED + rows))


def test_other_columns_are_refused_with_those_that_would_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r":1: the columns are not arrived_at,.* or t_unit,prompt,output"):
        read_csv(written(tmp_path, "a,b\n1,2\n"))


@pytest.mark.parametrize("rate_per_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(rate_per_s: float) -> None:
    with pytest.raises(ConfigError, match="is not a positive number of requests a second"):
        RequestList((PlannedRequest(0.0, 1, 1),), 1.0, 2).at_rate(rate_per_s)


def test_no_more_requests_than_there_are() -> None:
    with pytest.raises(ConfigError, match="5 requests were asked for and the list has 1"):
        RequestList((PlannedRequest(0.0, 1, 1),), 1.0, 2).first(5)
