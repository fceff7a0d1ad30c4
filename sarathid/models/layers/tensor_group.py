"""What the ranks that have parts of the same layers do together."""

from typing import Final, Protocol

from sarathi_kernels.layers import Parts
from torch import Tensor


class TensorGroup(Parts, Protocol):
    """The ranks of one pipeline stage; all of them call the same in the same order."""

    @property
    def num_parts(self) -> int: ...

    def gather(self, part: Tensor, num_columns: int) -> Tensor | None:
        """Return the parts [num_rows, part of num_columns] side by side on the first rank, None on the others.

        All are of the same width, but for the last, which may be narrower.
        """
        ...


class _Alone(TensorGroup):
    """A rank that has its layers to itself."""

    num_parts = 1

    def sum(self, part: Tensor) -> Tensor:
        return part

    def largest(self, part: Tensor) -> Tensor:
        return part

    def gather(self, part: Tensor, num_columns: int) -> Tensor | None:
        return part


ALONE: Final[TensorGroup] = _Alone()
