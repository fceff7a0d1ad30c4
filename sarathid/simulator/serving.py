"""How the engine of a simulation is run."""

from dataclasses import dataclass

from sarathid.config import EngineConfig
from sarathid.errors import ConfigError
from sarathid.protocol.slo import BudgetChoice
from sarathid.scheduler.policies.registry import find_policy

_MAX_NUM_SEQS = 4096
_MAX_NUM_TOKENS = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The policy and the limits.

    `max_num_batched_tokens` bounds the whole prompts of an iteration for the policies that never chunk; None is the
    longest context. `slo_tbt_s` is what an adaptive or profiled budget follows; `disturbance_seed` makes the devices
    differ from their profile, None not. Building one raises `ConfigError` for a value that can never be.
    """

    policy: str = "stall-free"
    token_budget: BudgetChoice = 512
    slo_tbt_s: float | None = None
    disturbance_seed: int | None = None
    max_num_seqs: int = 128
    max_model_len: int = 8192
    max_num_batched_tokens: int | None = None
    block_size: int = 16
    watermark: float = 0.01

    def __post_init__(self) -> None:
        find_policy(self.policy)
        for words, value, most in (
            ("a token budget", self.token_budget, _MAX_NUM_TOKENS),
            ("a most of sequences", self.max_num_seqs, _MAX_NUM_SEQS),
            ("a longest context", self.max_model_len, _MAX_NUM_TOKENS),
            ("a most of batched prompt tokens", self.max_num_batched_tokens, _MAX_NUM_TOKENS),
        ):
            if isinstance(value, int) and not 1 <= value <= most:
                raise ConfigError(f"{words} of {value} is not between 1 and {most}")

    def check_target(self) -> None:
        """Raise `ConfigError` when the budget is to follow a target and there is none."""
        if not isinstance(self.token_budget, int) and self.slo_tbt_s is None:
            raise ConfigError(f"a budget of {self.token_budget} follows a target; give --slo-tbt")

    def engine_config(self) -> EngineConfig:
        """Return the engine's configuration; a fixed budget has no target, since nobody watches for stalls."""
        most = self.max_num_batched_tokens or self.max_model_len
        return EngineConfig(
            policy=self.policy,
            token_budget=self.token_budget,
            min_token_budget=1,
            max_token_budget=max(self.token_budget, most) if isinstance(self.token_budget, int) else most,
            max_num_seqs=self.max_num_seqs,
            max_model_len=self.max_model_len,
            block_size=self.block_size,
            watermark=self.watermark,
            slo_tbt=None if self.slo_tbt_s is None else f"{self.slo_tbt_s}s",
        )
