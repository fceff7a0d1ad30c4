"""A simulation in a process of its own gives figures, or a refusal in one line, and never stays."""

import asyncio
import os

import psutil
import pytest

from sarathid.errors import ControlRefused
from sarathid.server.simulation_child import simulate_window

RUN = ("simulate", "--json", "--profile", "a100/mistral-7b-tp1", "--workload", "constant:500:20", "--num-requests")


def children() -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(os.getpid()).children()
    return found


def test_it_returns_the_figures_of_its_window() -> None:
    figures = asyncio.run(simulate_window((*RUN, "16", "--rate", "4", "--window", "1s:4s")))

    assert figures.window_s == 3.0
    assert figures.tokens_per_s > 0.0


def test_what_it_can_not_do_is_a_refusal_with_its_last_words() -> None:
    with pytest.raises(ControlRefused, match=r"ended with 2: .*there is no policy 'best'"):
        asyncio.run(simulate_window((*RUN, "16", "--policy", "best")))


def test_one_that_takes_too_long_is_ended_and_so_is_one_that_nobody_waits_for() -> None:
    endless = (*RUN, "1000000", "--window", ":1h")
    others = children()  # of other tests: a daemon may serve many
    with pytest.raises(ControlRefused, match="took over 1 s"):
        asyncio.run(simulate_window(endless, max_s=1))
    assert children() == others

    async def give_up() -> None:
        waiting = asyncio.create_task(simulate_window(endless))
        while not any(child.nice() >= 10 for child in children() if child not in others):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))

    asyncio.run(give_up())
    assert children() == others
