"""A process whose parent is gone before it can ask for a lifeline ends all the same."""

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = "from sarathid.executor.lifeline import live_and_die_with_the_parent as live; live(); print('lives')"


@pytest.mark.parametrize(("is_open", "code"), [(True, 0), (False, 128 + signal.SIGKILL)])
def test_a_hung_up_standard_input_tells_of_a_parent_that_died_before(is_open: bool, code: int) -> None:
    ours_to_read, ours_to_write = os.pipe()
    os.write(ours_to_write, b"what is still to be read")
    if not is_open:
        os.close(ours_to_write)
    found = subprocess.run([sys.executable, "-c", PROGRAM], stdin=ours_to_read, capture_output=True, check=False)
    os.close(ours_to_read)
    if is_open:
        os.close(ours_to_write)

    assert (found.returncode, found.stdout) == (code, b"lives\n" if is_open else b"")
