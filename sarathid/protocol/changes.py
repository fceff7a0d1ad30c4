"""Why the settings changed, on which terms, and how well requests were served under them."""

from enum import StrEnum

import msgspec


class ChangeOrigin(StrEnum):
    """What made a revision: a daemon's start, somebody who asked, or the end of an earlier revision."""

    START = "start"
    ASKED = "asked"
    UNDO = "undo"
    EXPIRED = "confirm-expired"
    GUARD = "guard"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How requests were served over `window_s` seconds, or are expected to be; None where nothing was seen.

    `tokens_per_s` counts output tokens, `num_stalls` the TBTs above the target; it is None without one. `bubble` is the
    share of the time with work in which the pipeline's stage that idled most did none, None without a pipeline.
    """

    window_s: float
    tbt_p99_s: float | None
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    tokens_per_s: float
    tbt_p50_s: float | None = None
    ttft_p99_s: float | None = None
    num_stalls: int | None = None
    tbt_max_s: float | None = None
    bubble: float | None = None


class ChangeNote(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed the settings, why and on which terms.

    `names` are the settings that it gives a value, the one they had already or another. `undoes` is the revision whose
    values are put back. `confirm_s` is after how long the change is taken back unless somebody keeps it, `guard` what
    must go on holding, `predicted` what whoever asked was told to expect.
    """

    changed_by: str = ""
    names: tuple[str, ...] = ()
    reason: str = ""
    origin: ChangeOrigin = ChangeOrigin.ASKED
    undoes: int | None = None
    confirm_s: float | None = None
    guard: str = ""
    predicted: Figures | None = None
