"""Ranks are numbered stage by stage and dealt to nodes in that order."""

import pytest

from sarathid.errors import ConfigError
from sarathid.executor.layout import Layout


def test_a_stage_stays_on_a_node_where_it_can() -> None:
    layout = Layout(num_parts=4, num_stages=2, num_nodes=2)
    assert [layout.stage_of(rank) for rank in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [layout.node_of(rank) for rank in range(8)] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert layout.ranks_of_stage(1) == layout.ranks_of_node(1) == range(4, 8)
    assert str(layout) == "tp=4 pp=2 on 2 nodes"


def test_a_stage_may_be_on_several_nodes() -> None:
    layout = Layout(num_parts=2, num_stages=1, num_nodes=2)
    assert [layout.node_of(rank) for rank in layout.ranks_of_stage(0)] == [0, 1]


def test_one_rank_is_a_layout_too() -> None:
    assert (Layout().num_ranks, str(Layout())) == (1, "tp=1 pp=1")


def test_ranks_that_do_not_divide_among_nodes_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 x 3 ranks do not divide among 2 nodes"):
        Layout(1, 3, 2)
