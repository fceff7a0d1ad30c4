"""What can go wrong, as one tree, each with the exit code that `sarathid` ends with.

SarathiError
+-- ConfigError           a flag, a file or a value that can never be right        (2)
+-- RuntimeDirectoryHeld  another daemon owns the runtime directory                (6)
+-- ModelRefused          weights, tokenizer or memory that this model can't have  (7)
+-- EngineFailed          the engine process could not start or died               (10)
+-- RequestRefused        a client's request that can't be served as asked
|   +-- PromptTooLong     its prompt and one token of an answer are more than the model's context
|   +-- QueueFull         it could be served, but not now
+-- NotReachable          nobody answers at the daemon's socket
|   +-- NotPermitted      the socket or the daemon's API lets this user do no such thing
+-- ControlRefused        the daemon answered a control request with an error
+-- CodecError            bytes from a socket that are not what they should be
"""

from typing import ClassVar

from sarathid.exit_codes import ExitCode


class SarathiError(Exception):
    """A mistake or a failure that can be told to the person who caused it, in one line."""

    exit_code: ClassVar[int] = ExitCode.UNEXPECTED


class ConfigError(SarathiError):
    """A configuration value, flag or file that can never be valid."""

    exit_code = ExitCode.USAGE


class RuntimeDirectoryHeld(SarathiError):
    """Another daemon holds the lock of the runtime directory."""

    exit_code = ExitCode.DIRECTORY_HELD


class ModelRefused(SarathiError):
    """The model's files are unsafe, incomplete, of an unknown kind, or too large for this machine."""

    exit_code = ExitCode.MODEL_REFUSED


class EngineFailed(SarathiError):
    """The engine process could not start, or died and used up its restarts.

    `reason_code` is the exit code of what stopped it: that of a refused model, say.
    """

    exit_code = ExitCode.ENGINE_FAILED

    def __init__(self, message: str, reason_code: int = ExitCode.ENGINE_FAILED) -> None:
        super().__init__(message)
        self.reason_code = reason_code


class RequestRefused(SarathiError):
    """A client's request is not valid for this model or this daemon.

    `param` names the offending field of the request, where there is one.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class PromptTooLong(RequestRefused):
    """The prompt leaves no room for an answer in the longest context that the model has."""


class QueueFull(RequestRefused):
    """The request is valid, and the daemon has no room for it now; `cause` says in a word of what."""

    def __init__(self, message: str, param: str | None = None, *, cause: str = "queue") -> None:
        super().__init__(message, param)
        self.cause = cause


class NotReachable(SarathiError):
    """Nobody answers at the daemon's socket."""

    exit_code = 3


class NotPermitted(NotReachable):
    """The daemon's socket is closed to this user, or its API refuses the user what was asked."""

    exit_code = 5


class ControlRefused(SarathiError):
    """The daemon answered a control request with an error; `code` says which kind."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class CodecError(SarathiError):
    """A frame that is too long, malformed, or of an unknown version or operation."""
