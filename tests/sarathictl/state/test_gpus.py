from dataclasses import replace

import pytest

from sarathictl.state.engine_state import EngineState
from sarathictl.state.gpus import gpu_words
from sarathictl.tui.renderables.engine import draw_engine
from sarathictl.tui.renderables.look import PLAIN_LOOK
from sarathid.protocol.gpus import GPUStatus
from tests.sarathictl.records import START_S, make_snapshot

GPU = GPUStatus(0, 0.91, 61, 388.4)


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        (GPU, "GPU0 91 % 61 °C 388 W"),
        (GPUStatus(3, 0.0, None, None), "GPU3 0 %"),
        (GPUStatus(1, None, 44, None), "GPU1 44 °C"),
    ],
)
def test_what_a_device_does_not_tell_is_left_out(gpu: GPUStatus, words: str) -> None:
    assert gpu_words(gpu) == words


def test_the_engine_has_a_line_on_its_gpus_where_there_are_some() -> None:
    view = EngineState.from_snapshot(make_snapshot(), START_S).view(START_S)
    lines = [text.plain for text in draw_engine(replace(view, gpus=(GPU,)), 60, 6, PLAIN_LOOK, 0.0)]
    assert any("GPU0 91 % 61 °C 388 W" in line for line in lines)
    assert not any("GPU" in text.plain for text in draw_engine(view, 60, 6, PLAIN_LOOK, 0.0))
