"""The parts of a check, each with its time, each failing alone: no lent minute of a device is lost to one of them."""

import gc
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

import torch

from sarathid.clock import Clock
from tests.gpu.report import Row, Verdict

LEAST_S = 3.0  # with less left a part is not begun


@dataclass(frozen=True, slots=True)
class Part:
    """Something to look at, for at most `limit_s` seconds; `rows` is told how many of them it has."""

    what: str
    limit_s: float
    rows: Callable[[float], Iterable[Row]]


class NotAvailable(Exception):
    """What a part needs is not here; the message says what."""


class OutOfTime(BaseException):
    """A part has had its time; no handler of errors on the way may take it for one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The rows that there are, how many parts were run for them, and how many seconds they left."""

    rows: Sequence[Row]
    num_run: int
    left_s: float


def run_parts(
    parts: Sequence[Part],
    limit_s: float,
    clock: Clock,
    tell: Callable[[Row], None],
    answers: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Run the parts one after the other, all within `limit_s` seconds, each row told as it comes.

    A device may be lost to this process by what went wrong on it: where it no longer `answers`, the rest is left.
    """
    found: list[Row] = []

    def take(row: Row) -> None:
        found.append(row)
        tell(row)

    end_s = clock.now_s() + limit_s
    for index, part in enumerate(parts):
        left_s = end_s - clock.now_s()
        if index and not answers():
            return Outcome(found, index, left_s)
        if left_s < LEAST_S:
            take(Row(part.what, Verdict.NOT_AVAILABLE, f"the {limit_s:.0f} s of the whole check were over"))
        else:
            _run(part, min(part.limit_s, left_s), take)
            give_memory_back()
    return Outcome(found, len(parts), end_s - clock.now_s())


def _run(part: Part, limit_s: float, take: Callable[[Row], None]) -> None:
    """Take a part's rows, and one for what ended it early: nothing that it raises goes further."""
    try:
        with _time_limit(limit_s):
            for row in part.rows(limit_s):
                take(row)
    except OutOfTime:
        take(Row(part.what, Verdict.NOT_AVAILABLE, f"cut after {limit_s:g} s"))
    except (ImportError, NotAvailable) as error:
        take(Row(part.what, Verdict.NOT_AVAILABLE, str(error)))
    except Exception as error:  # noqa: BLE001 - whatever it was, the other parts are wanted
        sys.stderr.write(traceback.format_exc())
        take(Row(part.what, Verdict.FAILED, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"))


@contextmanager
def _time_limit(limit_s: float) -> Iterator[None]:
    """Raise `OutOfTime` in the main thread when the time is over; a signal, since what is late may never look."""

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    handler = signal.signal(signal.SIGALRM, stop)
    before_s, _ = signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, before_s)
        signal.signal(signal.SIGALRM, handler)


def give_memory_back() -> None:
    """Let go of what a part left, on the device too, where the next one wants it."""
    gc.collect()
    if torch.cuda.is_available():
        with suppress(RuntimeError):  # the device is lost, which is told of already
            torch.cuda.empty_cache()
