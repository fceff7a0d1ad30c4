"""The seam between deciding and doing: who runs a batch, and what is known of them."""

from dataclasses import dataclass
from typing import Protocol

from sarathid.costmodel.pipeline import StageWork
from sarathid.protocol.stats import WeightsOrigin
from sarathid.scheduler.batch import Drawn, ScheduledBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorInfo:
    """What an executor found when it started.

    `isolated_decode_s` is the duration of an undisturbed decode-only iteration (on CPU: batch 8 at context
    512), measured at warm-up; targets such as `5x` are multiples of it.
    """

    model: str
    device: str
    dtype: str
    quantization: str | None = None
    layout: str
    attention_backend: str
    num_blocks: int
    block_size: int
    kv_cache_bytes: int
    weight_bytes: int
    vocab_size: int
    max_model_len: int
    eos_token_ids: frozenset[int]
    isolated_decode_s: float
    num_threads: int
    sliding_window: int | None = None
    weights_origin: WeightsOrigin = WeightsOrigin.READ
    weights_fault: str = ""
    notes: tuple[str, ...] = ()

    @property
    def weight_format(self) -> str:
        """What the matrices of the layers are kept in."""
        return self.quantization or self.dtype


@dataclass(frozen=True, slots=True)
class ExecutorOutput:
    """What a batch gave; `stages` tells of each stage of the pipeline, the first one first, when it worked on it."""

    drawn: Drawn
    stages: tuple[StageWork, ...]


class Executor(Protocol):
    """Runs batches in the order in which they were submitted, in every stage and on every rank of it.

    The scheduler counts on that order: a batch reads what those before it, still in flight, write into the KV cache,
    and may write blocks that they read and nobody needs behind them.
    """

    @property
    def max_batches_in_flight(self) -> int:
        """How many batches may be submitted before the oldest is collected: the pipeline's depth, two to run ahead."""
        ...

    @property
    def runs_ahead(self) -> bool:
        """Whether a batch is submitted while one is in flight that draws tokens which its decodes begin with.

        Such a decode has an AWAITED_TOKEN. There is one stage then.
        """
        ...

    def start(self) -> ExecutorInfo:
        """Load the model, take memory for the KV cache and warm up.

        Raises `ModelRefused` when the model's files or its need of memory forbid it.
        """
        ...

    def submit(self, batch: ScheduledBatch) -> None:
        """Hand over a non-empty batch; does not wait for its result."""
        ...

    def collect(self) -> ExecutorOutput:
        """Wait for the oldest submitted batch and return what it gave."""
        ...

    def probe(self) -> None:
        """Ask everybody who computes for a sign of life, while no batch is in flight, and wait for it.

        Raises `EngineFailed` when one of them is no more.
        """
        ...

    def close(self) -> None:
        """Release everything; safe to call twice."""
        ...
