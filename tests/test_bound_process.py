import subprocess
import sys

import psutil

PARENT = """
import asyncio
from sarathid.server.simulation_child import simulate_window

flags = ("simulate", "--profile", "a100/mistral-7b-tp1", "--workload", "constant:500:20", "--num-requests", "1000000")
asyncio.run(simulate_window((*flags, "--window", ":1h")))
"""


def test_a_simulation_ends_with_a_daemon_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT]) as parent:
        children: list[psutil.Process] = []
        while not children:
            assert parent.poll() is None
            children = psutil.Process(parent.pid).children()
        parent.kill()

    _gone, left = psutil.wait_procs(children, 60)
    assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []  # who is dead may be unburied
