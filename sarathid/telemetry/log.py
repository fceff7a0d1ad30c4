"""The daemon's log: one line an event, on stderr, for people."""

import logging

_LEVELS = (logging.INFO, logging.DEBUG)


def configure(verbosity: int) -> None:
    """Send our log to stderr: 0 says what happened, 1 and more says how; libraries speak of trouble alone.

    Of a request that fails we write ourselves; uvicorn would also write of those that end with the daemon.
    """
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    logging.getLogger("sarathid").setLevel(_LEVELS[min(verbosity, len(_LEVELS) - 1)])
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
