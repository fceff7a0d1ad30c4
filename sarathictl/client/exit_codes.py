"""What an error means to whoever runs a program: one exit code a kind."""

from enum import IntEnum

from sarathid.errors import ConfigError, ControlRefused, NotPermitted, NotReachable, RequestRefused, SarathiError


class ExitCode(IntEnum):
    """What `sarathictl` ends with.

    `PIPE_CLOSED` is what a shell sees of any program whose reader has gone.
    """

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_REACHABLE = 3
    NO_SUCH_OBJECT = 4
    NOT_PERMITTED = 5
    CONFLICT = 6
    REFUSED = 7
    BAD_ANSWER = 8
    REVERTED = 9
    TIMED_OUT = 124
    INTERRUPTED = 130
    PIPE_CLOSED = 141


_CODE_OF_FAULT = {
    "malformed": ExitCode.USAGE,
    "not-found": ExitCode.NO_SUCH_OBJECT,
    "not-permitted": ExitCode.NOT_PERMITTED,
    "conflict": ExitCode.CONFLICT,
    "out-of-range": ExitCode.REFUSED,
    "guard": ExitCode.REFUSED,
    "unavailable": ExitCode.REFUSED,
}

_CODE_OF_ERROR: tuple[tuple[type[Exception], ExitCode, str], ...] = (
    (ConfigError, ExitCode.USAGE, "usage"),
    (NotPermitted, ExitCode.NOT_PERMITTED, "not-permitted"),
    (NotReachable, ExitCode.NOT_REACHABLE, "not-reachable"),
    (RequestRefused, ExitCode.REFUSED, "refused"),
    (TimeoutError, ExitCode.TIMED_OUT, "timed-out"),
)


def exit_code_of(error: SarathiError | TimeoutError) -> ExitCode:
    """Return the exit code that stands for an error."""
    return classify(error)[0]


def classify(error: SarathiError | TimeoutError) -> tuple[ExitCode, str]:
    """Return the exit code that stands for an error, and its kind in a word."""
    if isinstance(error, ControlRefused):
        return _CODE_OF_FAULT.get(error.code, ExitCode.UNEXPECTED), error.code
    for type_, code, kind in _CODE_OF_ERROR:
        if isinstance(error, type_):
            return code, kind
    return ExitCode.UNEXPECTED, "unexpected"
