"""`python -m tests.end_to_end.slow_terminal PROGRAM` runs it in a terminal that passes on slowly what it draws."""

import os
import pty
import sys
import time

BYTES_PER_S = 6_000
NUM_BYTES = 600


def read_slowly(terminal: int) -> bytes:
    time.sleep(NUM_BYTES / BYTES_PER_S)
    return os.read(terminal, NUM_BYTES)


if __name__ == "__main__":
    pty.spawn(sys.argv[1:], read_slowly)
