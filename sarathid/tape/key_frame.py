"""All that stands at one moment: where a segment of a recording begins, so that none needs the one before it."""

import msgspec

from sarathid.protocol.control import RequestState, RequestStatus
from sarathid.protocol.stats import EngineInfo, EngineSettings, IterationScheduled


class RequestRow(msgspec.Struct, kw_only=True):
    """One request as records tell of it; None and "" where a lost record would have told.

    `last_token_s` is the monotonic moment of its newest token, None if that was before we looked.
    """

    request_id: int
    state: RequestState
    arrival_s: float | None = None
    client: str = ""
    num_prompt_tokens: int | None = None
    num_computed_tokens: int = 0
    num_output_tokens: int = 0
    max_tokens: int | None = None
    ttft_s: float | None = None
    last_token_s: float | None = None
    tbt_last_s: float | None = None
    tbt_max_s: float | None = None
    num_stalls: int = 0
    num_preemptions: int = 0
    priority: int = 0


class KeyFrame(msgspec.Struct, frozen=True, kw_only=True):
    """The engine at `time_s` (monotonic): what it is, by which settings it goes, what it holds and what it runs.

    `last_start_s` is when the newest finished iteration began, None before the first. Counts are of running, waiting
    and preempted requests.
    """

    time_s: float
    daemon_state: str = ""
    message: str = ""
    info: EngineInfo | None = None
    settings: EngineSettings | None = None
    running: IterationScheduled | None = None
    last_start_s: float | None = None
    num_running: int = 0
    num_waiting: int = 0
    num_preempted: int = 0
    num_blocks_used: int = 0
    num_blocks_free: int = 0
    requests: tuple[RequestRow, ...] = ()


def row_of(request: RequestStatus, now_s: float, last_token_s: float | None) -> RequestRow:
    """Return the row of a request as a list that was asked for at `now_s` has it."""
    return RequestRow(
        request_id=request.request_id,
        state=request.state,
        arrival_s=now_s - request.age_s,
        client=request.client,
        num_prompt_tokens=request.num_prompt_tokens,
        num_computed_tokens=request.num_computed_tokens,
        num_output_tokens=request.num_output_tokens,
        max_tokens=request.max_tokens,
        ttft_s=request.ttft_s,
        last_token_s=last_token_s,
        tbt_last_s=request.tbt_last_s,
        tbt_max_s=request.tbt_max_s,
        num_stalls=request.num_stalls,
        num_preemptions=request.num_preemptions,
        priority=request.priority,
    )
