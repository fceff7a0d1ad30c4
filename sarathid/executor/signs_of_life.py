"""A rank's signs of life, which it gives whatever it computes or waits for."""

import threading
import time
from collections.abc import Callable

from sarathid.executor.rank_messages import RankLives, RankMessage
from sarathid.executor.rank_watch import SIGN_EVERY_S


def give_signs_of_life(index: int, say: Callable[[RankMessage], None]) -> None:
    """Say once a second, from a thread that ends with the process, that rank `index` lives; `say` takes turns."""
    threading.Thread(target=_give, args=(RankLives(index=index), say), daemon=True).start()


def _give(sign: RankLives, say: Callable[[RankMessage], None]) -> None:
    while True:
        say(sign)
        time.sleep(SIGN_EVERY_S)
