from contextlib import closing
from itertools import islice

import pytest

from tests.bench.hot_paths.catalog import HOT_PATHS


@pytest.mark.parametrize("name", HOT_PATHS)
def test_a_hot_path_can_be_gone_through_again_and_again(name: str) -> None:
    with closing(HOT_PATHS[name].operations()) as operations:
        num_calls = 0
        for operation in islice(operations, 2):
            operation()
            num_calls += 1

    assert num_calls == 2
