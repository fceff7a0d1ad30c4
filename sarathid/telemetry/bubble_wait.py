"""How much of what decodes took of a pipeline was waiting, of one batch for another."""

from collections.abc import Sequence
from typing import NamedTuple

from sarathid.telemetry.iteration_span import IterationSpan


class DecodeShare(NamedTuple):
    """The seconds of a gap that went to the decodes of an iteration."""

    iteration: IterationSpan
    seconds: float

    @property
    def last_stage_s(self) -> float:
        """How many of them the last stage worked; all, where there is no pipeline or no telling."""
        stages_s = self.iteration.stage_decodes_s()
        return min(self.seconds, stages_s[-1]) if stages_s else self.seconds


def waited_s(decodes: Sequence[DecodeShare]) -> float:
    """Return what of the decodes' time, in the iterations up to the one that gave the token, no stage accounts for.

    Batches that never wait for each other take as long as the last stage works on all of them, or as all stages do on
    the last one, whose token it is: whichever is more. Uneven batches, and stages with nothing to do, take more.
    """
    if not decodes:
        return 0.0
    decoding_s = sum([share.seconds for share in decodes])
    working_s = sum([share.last_stage_s for share in decodes])
    own_s = sum(decodes[-1].iteration.stage_decodes_s())
    return max(0.0, decoding_s - max(working_s, own_s))
