"""One request's part in what was seen: its times between tokens, the stalls it suffered and those it caused."""

from dataclasses import dataclass

from sarathictl.state.engine_view import EngineView
from sarathid.protocol.stats import StallEvent


@dataclass(frozen=True, slots=True)
class RequestLife:
    """`tbts_s` are of the newest iterations, oldest first; stalls are newest first."""

    tbts_s: tuple[float, ...]
    suffered: tuple[StallEvent, ...]
    caused: tuple[StallEvent, ...]


def life_of(request_id: int, view: EngineView) -> RequestLife:
    """Return what the records of a view tell of a request."""
    gaps = (gap for iteration in view.recent for gap in iteration.gaps)
    return RequestLife(
        tbts_s=tuple(gap.tbt_s for gap in gaps if gap.request_id == request_id),
        suffered=tuple(stall for stall in view.stalls if _is_victim(request_id, stall)),
        caused=tuple(stall for stall in view.stalls if stall.chunk and stall.chunk.request_id == request_id),
    )


def _is_victim(request_id: int, stall: StallEvent) -> bool:
    return any(victim.request_id == request_id for victim in stall.victims)
