"""What other settings would have done in the last minutes, and how well that can be told."""

import msgspec

from sarathid.protocol.changes import Figures
from sarathid.protocol.slo import BudgetChoice, SLOChange
from sarathid.protocol.stats import EngineSettings


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Settings to try; None is what is in force."""

    budget: BudgetChoice | None = None
    policy: str | None = None
    slo: SLOChange | None = None


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """How the same requests would have been served under these settings."""

    settings: EngineSettings
    figures: Figures


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """The last `span_s` seconds as they were observed, and replayed under what was in force and under each candidate.

    The devices take `correction` times the time of the cost profile, by the median of their iterations. Of
    `num_requests` replayed, `num_guessed` have not ended: they are taken to be as long as they may be. `num_left_out`
    ended without a token.
    """

    span_s: float
    profile: str
    correction: float
    num_requests: int
    num_guessed: int
    num_left_out: int
    current: EngineSettings
    observed: Figures
    replayed: Figures
    forecasts: tuple[Forecast, ...]
