"""What `sarathid` ends with, as one table: errors name their code from it, `--help` and the README show it."""

import signal
from enum import IntEnum


class ExitCode(IntEnum):
    """An exit code with what it says in `words`."""

    words: str

    DONE = 0, "clean, drained"
    UNEXPECTED = 1, "unexpected"
    USAGE = 2, "usage, configuration"
    DIRECTORY_HELD = 6, "directory held by another"
    MODEL_REFUSED = 7, "model refused"
    ENGINE_FAILED = 10, "engine could not start"
    DEADLINE_PASSED = 124, "drain deadline passed"
    INTERRUPTED = 128 + signal.SIGINT, "interrupted"

    def __new__(cls, value: int, words: str) -> "ExitCode":
        code = int.__new__(cls, value)
        code._value_ = value
        code.words = words
        return code
