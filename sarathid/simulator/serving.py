"""How the engine of a simulation is run."""

from dataclasses import dataclass

from sarathid.config import EngineConfig
from sarathid.errors import ConfigError
from sarathid.executor.pace import Pace
from sarathid.protocol.requests import PrefillOrder
from sarathid.protocol.slo import BudgetChoice, OverloadMode
from sarathid.scheduler.policies.registry import find_policy

_MAX_NUM_SEQS = 4096
_MAX_NUM_TOKENS = 1 << 20
_MAX_NUM_BLOCKS = 1 << 30
_MAX_BLOCK_SIZE = 256
_MAX_WATERMARK = 0.5
_LEAST_CORRECTION = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The policy, the limits, and how the devices differ from their profile.

    `slo_tbt_s` is what an adaptive or profiled budget follows, `slo_ttft_s` what an adaptive one also minds.
    `max_num_batched_tokens` bounds the whole prompts of an iteration for the policies that never chunk; None is the
    longest context. `max_token_budget` None is the same or the budget, whichever is more; `num_blocks` None what the
    profile has memory for.

    The devices take `correction` times the profile's time, which the engine knows. What it does not know is drawn for
    each iteration: as a `pace` was seen to vary, or as a `Disturbance` of that seed does, or nothing. Building one
    raises `ConfigError` for a value that can never be.
    """

    policy: str = "stall-free"
    token_budget: BudgetChoice = 512
    slo_tbt_s: float | None = None
    slo_ttft_s: float | None = None
    correction: float = 1.0
    disturbance_seed: int | None = None
    pace: Pace | None = None
    max_num_seqs: int = 128
    max_model_len: int = 8192
    max_num_batched_tokens: int | None = None
    min_token_budget: int = 1
    max_token_budget: int | None = None
    overload: OverloadMode = OverloadMode.HOLD
    prefill_order: PrefillOrder = PrefillOrder.ARRIVAL
    num_blocks: int | None = None
    block_size: int = 16
    watermark: float = 0.01

    def __post_init__(self) -> None:
        find_policy(self.policy)
        for words, value, most in (
            ("a token budget", self.token_budget, _MAX_NUM_TOKENS),
            ("a most of sequences", self.max_num_seqs, _MAX_NUM_SEQS),
            ("a longest context", self.max_model_len, _MAX_NUM_TOKENS),
            ("a most of batched prompt tokens", self.max_num_batched_tokens, _MAX_NUM_TOKENS),
            ("a smallest budget", self.min_token_budget, _MAX_NUM_TOKENS),
            ("a largest budget", self.max_token_budget, _MAX_NUM_TOKENS),
            ("a number of blocks", self.num_blocks, _MAX_NUM_BLOCKS),
            ("a block size", self.block_size, _MAX_BLOCK_SIZE),
        ):
            if isinstance(value, int) and not 1 <= value <= most:
                raise ConfigError(f"{words} of {value} is not between 1 and {most}")
        if not 0.0 <= self.watermark <= _MAX_WATERMARK:
            raise ConfigError(f"a watermark of {self.watermark} is not between 0 and {_MAX_WATERMARK}")
        if not _LEAST_CORRECTION <= self.correction <= 1.0 / _LEAST_CORRECTION:
            raise ConfigError(f"a correction of {self.correction} is not between {_LEAST_CORRECTION:g} and 1000")

    def check_target(self) -> None:
        """Raise `ConfigError` when the budget is to follow a target and there is none."""
        if not isinstance(self.token_budget, int) and self.slo_tbt_s is None:
            raise ConfigError(f"a budget of {self.token_budget} follows a target; give --slo-tbt")

    def engine_config(self) -> EngineConfig:
        """Return the engine's configuration."""
        return EngineConfig(
            policy=self.policy,
            token_budget=self.token_budget,
            min_token_budget=self.min_token_budget,
            max_token_budget=self.max_token_budget or self._usual_max_token_budget,
            max_num_seqs=self.max_num_seqs,
            max_model_len=self.max_model_len,
            block_size=self.block_size,
            watermark=self.watermark,
            overload=self.overload,
            prefill_order=self.prefill_order,
            prefix_cache=False,  # planned requests have lengths and no words
            slo_tbt=None if self.slo_tbt_s is None else f"{self.slo_tbt_s}s",
            slo_ttft=None if self.slo_ttft_s is None else f"{self.slo_ttft_s}s",
        )

    @property
    def _usual_max_token_budget(self) -> int:
        most = self.max_num_batched_tokens or self.max_model_len
        return max(self.token_budget, most) if isinstance(self.token_budget, int) else most
