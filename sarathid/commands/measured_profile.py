"""The cost profile that measured iterations make: costs, what was measured, and where."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sarathid.config import EngineConfig
from sarathid.costmodel.cost_profile import CostProfile, Memory, Provenance, SendRecv, Shape
from sarathid.costmodel.fit import FittedCosts, Sample, SentStream, fit_sends, relative_errors
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.executor.base import ExecutorInfo
from sarathid.models.model_config import ModelConfig

_PERCENT = 100.0
_NO_SENDS = SendRecv(table=((0.0, 0.0), (1.0, 0.0)))


def measured_profile(
    config: EngineConfig,
    info: ExecutorInfo,
    model: ModelConfig,
    costs: FittedCosts,
    samples: Sequence[Sample],
    sent: Sequence[SentStream],
) -> CostProfile:
    """Return the profile of the layout that was measured, with the error of its fit to the stages of `samples`.

    `sent` are streams that stages handed on, none where there is one stage.
    """
    num_ranks = config.tensor_parallel * config.pipeline_parallel
    weight_bytes, kv_cache_bytes = info.weight_bytes // num_ranks, info.kv_cache_bytes // num_ranks
    hidden_bytes = model.hidden_size * (4 if info.dtype == "float32" else 2)

    def profile(fit_error_pct: dict[str, tuple[float, float]], sends: SendRecv) -> CostProfile:
        return CostProfile(
            provenance=Provenance(
                source=_source(config, info),
                date=datetime.now(UTC).date().isoformat(),
                derivation="; ".join(_derivation(config, info, len(samples))),
                fit_error_pct=fit_error_pct,
            ),
            shape=Shape(
                device=info.device.partition(":")[0],
                model=info.model,
                tensor_parallel=config.tensor_parallel,
                pipeline_parallel=config.pipeline_parallel,
                num_layers=model.num_layers,
                hidden_bytes_per_token=hidden_bytes,
                weight_format=info.weight_format,
            ),
            memory=Memory(
                device_bytes=weight_bytes + kv_cache_bytes,
                utilization=1.0,
                weight_bytes=weight_bytes,
                activation_bytes=0,
                kv_bytes_per_token=kv_cache_bytes // (info.num_blocks * info.block_size),
            ),
            overhead=costs.overhead,
            linear=costs.linear,
            prefill_attention=costs.prefill_attention,
            decode_attention=costs.decode_attention,
            output_head=costs.output_head,
            embedding=costs.embedding,
            send_recv=sends if config.pipeline_parallel > 1 else None,
        )

    unrated = IterationCostModel(profile({}, _NO_SENDS))
    median, p95 = relative_errors(
        [seconds for sample in samples for seconds in unrated.stage_seconds(sample.features)],
        [seconds for sample in samples for seconds in sample.stage_s],
    )
    of_stages = {"iterations": (round(median * _PERCENT, 1), round(p95 * _PERCENT, 1))}
    return profile(of_stages, fit_sends(sent, hidden_bytes) if sent else _NO_SENDS)


def _source(config: EngineConfig, info: ExecutorInfo) -> str:
    threads = f"{info.num_threads} threads"
    if config.tensor_parallel * config.pipeline_parallel > 1:
        threads += f" over the ranks of {info.layout}"
    return f"measured by sarathid profile on {_machine(info.device)}, {threads}"


def _derivation(config: EngineConfig, info: ExecutorInfo, num_samples: int) -> tuple[str, ...]:
    """Return what the figures were made of, without what says more of one run than of the machine."""
    layout = []
    if config.pipeline_parallel > 1:
        layout.append("each stage while all stages worked on the same kind and shared the machine")
    if config.tensor_parallel > 1:
        layout.append("sums over the parts of a layer are within its linear layers")
    notes = (note for note in info.notes if " processes " not in note)  # whose numbers nobody will know again
    return (f"fitted to {num_samples} kinds of iterations", *layout, f"attention by {info.attention_backend}", *notes)


def _machine(device: str) -> str:
    """Return the name of the GPU that was measured, or of the processor."""
    if device.startswith("cuda"):
        # Deferred: torch is loaded by now, but need not be to read about profiles.
        import torch

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
