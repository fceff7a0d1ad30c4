"""What is measured again and again: one operation that happens in every iteration, for every token or every request."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

Operation: TypeAlias = Callable[[], object]
Operations: TypeAlias = Generator[Operation, None, None]


@dataclass(frozen=True, slots=True)
class HotPath:
    """`operations()` yields the operation each time that it is to be called once and timed.

    What it does before, between and behind the yields is preparation, and not timed; a bench closes it in the end.
    """

    name: str
    operations: Callable[[], Operations]
