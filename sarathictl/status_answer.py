"""What `sarathictl status` answers."""

import msgspec

from sarathictl.call import Invocation
from sarathictl.state.daemon_status import describe_status
from sarathid.protocol.control import Status


def ask_status(invocation: Invocation) -> Status:
    """Return what the daemon says of itself."""
    with invocation.connect() as client:
        return client.status()


def print_status(invocation: Invocation) -> None:
    """Print what the daemon says of itself."""
    found = ask_status(invocation)
    text = "\n".join(f"{name:<10}{words}" for name, words in describe_status(found))
    invocation.answer(msgspec.to_builtins(found), text)
