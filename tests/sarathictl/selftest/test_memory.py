import os
import random

import pytest

from sarathictl.selftest.fuzz import kept_memory
from sarathictl.selftest.memory import flat, growth_of, resident_bytes

MIB = 1 << 20


def test_this_process_holds_some_memory() -> None:
    assert 10 * MIB < resident_bytes(os.getpid()) < 1 << 40


def test_a_straight_rise_is_measured_over_the_last_half() -> None:
    growth = growth_of([100 * MIB] * 50 + [100 * MIB + step * MIB for step in range(50)])

    assert growth is not None
    assert growth.share == pytest.approx(49 / 124.5)
    assert growth.error == pytest.approx(0.0, abs=1e-9)
    assert not growth.is_flat


def test_noise_without_a_rise_is_flat_and_a_leak_in_noise_is_not() -> None:
    rng = random.Random(1)
    noise = [100 * MIB + rng.randrange(4 * MIB) for _ in range(200)]
    leak = [value + step * MIB // 10 for step, value in enumerate(noise)]

    assert flat(noise).is_right
    assert flat(leak).is_right is False


def test_what_fills_before_the_last_half_is_no_leak() -> None:
    assert flat([step * MIB for step in range(1, 51)] + [50 * MIB] * 50).is_right


def test_of_few_samples_nothing_is_said() -> None:
    assert flat([MIB] * 10).is_right is None


@pytest.mark.parametrize(("last", "is_right"), [(104, True), (106, False)])
def test_memory_may_grow_by_a_twentieth_from_when_it_was_warm(last: int, is_right: bool) -> None:
    assert kept_memory([50] * 20 + [100] * 79 + [last]).is_right is is_right
