"""The latency objective that an operator states."""

import msgspec


class SLO(msgspec.Struct, frozen=True, kw_only=True):
    """Targets in seconds; None where there is no target.

    `tbt_s` bounds the P99 of the time between two tokens of one request, `ttft_s` the P95 of the
    time from arrival to first token. A TBT above `tbt_s` is a stall.
    """

    tbt_s: float | None = None
    ttft_s: float | None = None
