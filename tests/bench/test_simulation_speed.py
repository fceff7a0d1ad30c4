"""How long a simulation of the paper's size takes on one core."""

import time

import pytest

from sarathid.costmodel.library import find_profile
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate
from sarathid.workload_catalog import load_requests


@pytest.mark.long
def test_2048_chats_on_yi_34b_take_less_than_ten_seconds() -> None:
    listed = load_requests("sharegpt4", num_requests=2048, seed=1).at_rate(1.0)
    profile, serving = find_profile("a100/yi-34b-tp2"), Serving(max_model_len=listed.max_model_len)

    start_s = time.process_time()
    result = simulate(profile, serving, listed.requests)
    took_s = time.process_time() - start_s

    assert result.num_finished == 2048
    assert took_s < 10.0
