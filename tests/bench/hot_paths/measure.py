"""Measures every hot path and stores the run in tests/bench/history: `make bench`, which then prints the ratios."""

from contextlib import closing

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.bench.hot_paths.catalog import HOT_PATHS
from tests.bench.hot_paths.hot_path import Operation

NUM_TURNS = 3
NUM_ROUNDS = 100
NUM_WARM_UP_ROUNDS = 10


@pytest.mark.parametrize("name", HOT_PATHS)
@pytest.mark.parametrize("turn", range(NUM_TURNS))  # all paths again, seconds later: a slow spell does not last
def test_hot_path(name: str, turn: int, benchmark: BenchmarkFixture) -> None:
    with closing(HOT_PATHS[name].operations()) as operations:

        def arrange() -> tuple[tuple[Operation], dict[str, object]]:
            return (next(operations),), {}

        benchmark.pedantic(_call, setup=arrange, rounds=NUM_ROUNDS, warmup_rounds=NUM_WARM_UP_ROUNDS)


def _call(operation: Operation) -> None:
    operation()
