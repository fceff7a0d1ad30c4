"""How screens ask the daemon: one operation and its answer."""

from typing import Protocol, TypeVar

from sarathid.protocol.control import ControlRequest

Reply = TypeVar("Reply")


class Ask(Protocol):
    """Sends one operation to the daemon and waits for its answer; called from worker threads."""

    def __call__(self, op: ControlRequest, reply_type: type[Reply]) -> Reply: ...
