"""Puts an `EngineCore` together from a configuration and an executor that has started."""

from collections.abc import Callable

from sarathid.clock import Clock
from sarathid.config import AUTO_TARGET, EngineConfig, resolve_target_s
from sarathid.costmodel.correction import CorrectedCostModel
from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.forecast import PipelineForecast
from sarathid.costmodel.predictor import CostModel, OnlineCostModel
from sarathid.engine.core import EngineCore
from sarathid.errors import ConfigError
from sarathid.executor.base import Executor, ExecutorInfo
from sarathid.kvcache.block_ledger import BlockLedger
from sarathid.protocol.slo import SLO, mode_of
from sarathid.protocol.stats import EngineInfo, EngineSettings
from sarathid.scheduler.micro_batches import MicroBatches
from sarathid.scheduler.policies.registry import find_policy
from sarathid.scheduler.scheduler import Scheduler, SchedulerLimits
from sarathid.slo.controller import BudgetBounds, Circumstances, SLOController
from sarathid.slo.profiled_budget import WorstCase
from sarathid.telemetry.recorder import StatsRecorder

START_TOKEN_BUDGET = 128


def initial_settings(config: EngineConfig, isolated_decode_s: float) -> EngineSettings:
    """Return revision 0 of the settings, targets in seconds.

    Raises `ConfigError` when the budget lies outside its bounds, those contradict each other or the policy is unknown.
    """
    find_policy(config.policy)
    budget, least, most = config.token_budget, config.min_token_budget, config.max_token_budget
    if least > most:
        raise ConfigError(f"--min-budget {least} is above --max-budget {most}")
    if isinstance(budget, int) and not least <= budget <= most:
        raise ConfigError(
            f"a token budget of {budget} is outside {config.min_token_budget} to "
            f"{config.max_token_budget}; change it, --min-budget or --max-budget"
        )
    return EngineSettings(
        revision=0,
        token_budget=budget if isinstance(budget, int) else min(max(START_TOKEN_BUDGET, least), most),
        policy=config.policy,
        slo=SLO(
            tbt_s=None if config.slo_tbt is None else resolve_target_s(config.slo_tbt, isolated_decode_s),
            ttft_s=None if config.slo_ttft is None else resolve_target_s(config.slo_ttft, isolated_decode_s),
        ),
        budget_mode=mode_of(budget),
        is_target_set=config.slo_tbt != AUTO_TARGET,
    )


def build_core(
    config: EngineConfig,
    executor: Executor,
    found: ExecutorInfo,
    clock: Clock,
    gc_total_s: Callable[[], float] = lambda: 0.0,
    cost_model: CostModel | None = None,
    tile: int = 1,
    ledger: BlockLedger | None = None,
) -> EngineCore:
    """Return a core with nothing to do yet; `found` is what `executor.start()` returned.

    `cost_model` says what iterations take, to be corrected by what they took; without one, one is learned. `tile` is
    the number of tokens that the device rounds an iteration up to, `ledger` tells what lies in the KV cache already.
    """
    corrected = CorrectedCostModel(OnlineCostModel() if cost_model is None else cost_model)
    forecast = PipelineForecast(1 if executor.runs_ahead else executor.max_batches_in_flight)
    settings = initial_settings(config, found.isolated_decode_s)
    limits = SchedulerLimits(
        num_blocks=found.num_blocks,
        block_size=found.block_size,
        max_model_len=found.max_model_len,
        max_num_seqs=config.max_num_seqs,
        max_num_tokens=config.max_token_budget,
        eos_token_ids=found.eos_token_ids,
        watermark=config.watermark,
        prefill_order=config.prefill_order,
        sliding_window=found.sliding_window,
        micro_batches=MicroBatches(num_batches=forecast.num_stages, tokens_per_decode=tokens_per_decode(corrected)),
        has_prefix_cache=config.prefix_cache,
        runs_ahead=executor.runs_ahead,
    )
    return EngineCore(
        executor,
        Scheduler(limits, find_policy(settings.policy), ledger),
        SLOController(
            settings,
            Circumstances(
                bounds=BudgetBounds(config.min_token_budget, config.max_token_budget),
                worst_case=WorstCase(
                    num_decodes=config.max_num_seqs,
                    decode_context=min(found.num_blocks * found.block_size, config.max_num_seqs * found.max_model_len),
                    max_model_len=found.max_model_len,
                ),
                tile=tile,
                overload=config.overload,
            ),
            corrected,
            forecast,
        ),
        StatsRecorder(),
        clock,
        corrected,
        forecast,
        has_profile=cost_model is not None,
        gc_total_s=gc_total_s,
    )


def tokens_per_decode(cost_model: CostModel) -> float:
    """Return how many tokens of context cost as much as one more decode, a guess while nothing can be predicted."""
    few, many, longer = (
        cost_model.predict(IterationFeatures(num_decodes, context))
        for num_decodes, context in ((32, 1 << 16), (64, 1 << 16), (32, 1 << 17))
    )
    if few is None or many is None or longer is None or longer <= few:
        return MicroBatches().tokens_per_decode
    return max(0.0, (many - few) / 32) * (1 << 16) / (longer - few)


def engine_info(
    config: EngineConfig, found: ExecutorInfo, engine_pid: int, tile: int = 1, cost_profile: str = ""
) -> EngineInfo:
    """Return what operators are told of this engine."""
    return EngineInfo(
        engine_pid=engine_pid,
        model=found.model,
        device=found.device,
        dtype=found.weight_format,
        layout=found.layout,
        attention_backend=found.attention_backend,
        num_blocks=found.num_blocks,
        block_size=found.block_size,
        kv_cache_bytes=found.kv_cache_bytes,
        weight_bytes=found.weight_bytes,
        vocab_size=found.vocab_size,
        max_model_len=found.max_model_len,
        max_num_seqs=config.max_num_seqs,
        min_token_budget=config.min_token_budget,
        max_token_budget=config.max_token_budget,
        isolated_decode_s=found.isolated_decode_s,
        num_threads=found.num_threads,
        num_watermark_blocks=int(config.watermark * found.num_blocks),
        tile=tile,
        cost_profile=cost_profile,
        overload=config.overload,
        prefill_order=config.prefill_order,
        weights_origin=found.weights_origin,
        weights_fault=found.weights_fault,
        notes=found.notes,
    )
