"""Runs `sarathictl` as another user: `python -m tests.end_to_end.stranger UID GID DIR ARGUMENTS...`, as root.

An interpreter below /root can't be read by another user: the call is made once before the privileges are dropped, to a
daemon that is not there, so that all that it imports has been.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator

from sarathictl import cli


def call(address: str, arguments: list[str]) -> None:
    sys.argv = ["sarathictl", "--addr", address, *arguments]
    cli.main()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def main() -> None:
    user_id, group_id, address, *arguments = sys.argv[1:]
    os.environ["XDG_CONFIG_HOME"] = "/nowhere"  # not root's, which another user can't read
    with contextlib.suppress(SystemExit), silence():
        call("/nowhere", arguments)
    os.setgroups([])
    os.setgid(int(group_id))
    os.setuid(int(user_id))
    call(address, arguments)


if __name__ == "__main__":
    main()
