"""A rank's own process: `python -m sarathid.executor.rank_process`, started by the engine or by a node that joined one.

It reads its `RankConfig` as MessagePack from standard input, whose end means that who started it is gone.
"""

import socket
import sys
import threading

from sarathid.errors import SarathiError
from sarathid.executor.frames import FrameSocket, read_frame
from sarathid.executor.lifeline import live_and_die_with_the_parent
from sarathid.executor.rank_messages import RankConfig, RankFault, RankMessage
from sarathid.executor.signs_of_life import give_signs_of_life
from sarathid.executor.unexpected import UnexpectedFault
from sarathid.protocol.codec import decode, encode


def main() -> int:
    """Run batches until the engine is gone; returns the process's exit code."""
    live_and_die_with_the_parent()
    config: RankConfig = decode(read_frame(sys.stdin.buffer), RankConfig)
    reports, turn = FrameSocket(socket.socket(fileno=config.reports)), threading.Lock()

    def say(message: RankMessage) -> None:
        with turn:
            reports.send(encode(message))

    give_signs_of_life(config.index, say)
    try:
        # Deferred: torch takes seconds to load, in which a parent may die, and this process may hang.
        from sarathid.executor.worker import run

        run(config, say)
    except SarathiError as error:
        say(RankFault(index=config.index, message=str(error), exit_code=error.exit_code))
        return error.exit_code
    except Exception:  # noqa: BLE001 - the engine is told, whatever it was
        fault = UnexpectedFault.caught()
        say(RankFault(index=config.index, message=str(fault), exit_code=1, trace=fault.for_log))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
