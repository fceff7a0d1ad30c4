import pytest

from sarathid.engine.waiting_room import WaitingRoom
from sarathid.errors import RequestRefused

ROOM = WaitingRoom(max_requests=4, max_tokens=100)


@pytest.mark.parametrize("lengths", [[1000], [1] * 4, [99, 1000], [33, 33, 33, 1000]])
def test_prompts_that_an_empty_room_would_take_one_after_another_fit(lengths: list[int]) -> None:
    ROOM.check_fits([range(length) for length in lengths])


@pytest.mark.parametrize(
    ("lengths", "told"),
    [
        ([1] * 5, "5 prompts come at once, and 4 may wait here; send fewer"),
        ([100, 1], "2 prompts come at once, with 101 tokens, and 100 may wait here; send fewer"),
    ],
)
def test_prompts_that_no_room_is_ever_enough_for_are_to_be_fewer(lengths: list[int], told: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        ROOM.check_fits([range(length) for length in lengths])
    assert type(refused.value) is RequestRefused, "who may come again is told to wait"
    assert (str(refused.value), refused.value.param) == (told, "prompt")
