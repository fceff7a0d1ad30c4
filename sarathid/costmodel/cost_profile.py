"""What an iteration costs on a device, for a model and a parallelism: measured or fitted figures, as TOML."""

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from sarathid.costmodel.pipeline import layers_of_stages
from sarathid.errors import ConfigError

Count: TypeAlias = Annotated[int, Meta(ge=1)]
Bytes: TypeAlias = Annotated[int, Meta(ge=0)]
Microseconds: TypeAlias = Annotated[float, Meta(ge=0.0)]
Share: TypeAlias = Annotated[float, Meta(gt=0.0, le=1.0)]
Knot: TypeAlias = tuple[Annotated[float, Meta(ge=0.0)], Microseconds]
MedianAndP95: TypeAlias = tuple[float, float]


class _Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; an unknown name in it is a mistake."""


class Provenance(_Figures, frozen=True, kw_only=True):
    """Where the figures come from and how far they can be trusted.

    `fit_error_pct` gives, by part of the model, the median and the 95th percentile of the absolute
    relative error on the points it was fitted to. `derivation` says what was scaled from where.
    """

    source: str
    date: str
    derivation: str
    fit_error_pct: dict[str, MedianAndP95] = {}


class Memory(_Figures, frozen=True, kw_only=True):
    """Bytes of one device: what it has, the share an engine takes, and what is not KV cache.

    `kv_bytes_per_token` is one device's share of a token's keys and values over the layers of its stage.
    """

    device_bytes: Bytes
    utilization: Share
    weight_bytes: Bytes
    activation_bytes: Bytes
    kv_bytes_per_token: Count

    @property
    def kv_cache_bytes(self) -> int:
        return int(self.device_bytes * self.utilization) - self.weight_bytes - self.activation_bytes


class Overhead(_Figures, frozen=True, kw_only=True):
    """The host's share of an iteration, per stage."""

    fixed_us: Microseconds
    us_per_sequence: Microseconds


class Linear(_Figures, frozen=True, kw_only=True):
    """The matrix products of a layer as a roofline, and what is elementwise beside them.

    `max(floor, base + per_token * tile * ceil(n / tile)) + elementwise_base + elementwise_per_token * n`
    for n tokens; the floor is the time to read the weights, the tile what n is rounded up to.
    """

    floor_us: Microseconds
    base_us: Microseconds
    us_per_token: Microseconds
    tile: Count
    elementwise_base_us: Microseconds
    elementwise_us_per_token: Microseconds


class PrefillAttention(_Figures, frozen=True, kw_only=True):
    """Attention of an iteration's chunks, per layer.

    `base + per_pair * sum(max(saturation, tile * ceil(q / tile)) * (context + diagonal * q))` over chunks
    of q tokens behind a context. Below `saturation_tokens` the kernel does not fill the device. An ideal
    causal kernel has a `diagonal` of 0.5.
    """

    base_us: Microseconds
    us_per_pair: Microseconds
    saturation_tokens: Microseconds
    diagonal: Annotated[float, Meta(ge=0.0)]
    tile: Count


class DecodeAttention(_Figures, frozen=True, kw_only=True):
    """Attention of an iteration's decodes, per layer; bound by reading the contexts' keys and values."""

    base_us: Microseconds
    us_per_context_token: Microseconds
    us_per_sequence: Microseconds


class Embedding(_Figures, frozen=True, kw_only=True):
    """What the first of several stages does beside its layers: `base + per_token * n` for n tokens."""

    base_us: Microseconds
    us_per_token: Microseconds


class OutputHead(_Figures, frozen=True, kw_only=True):
    """Logits of the rows that sample, on the last stage: `max(floor, per_row * rows)`."""

    floor_us: Microseconds
    us_per_row: Microseconds


class AllReduce(_Figures, frozen=True, kw_only=True):
    """Summing a layer's activations over the devices of a stage; `table` maps bytes to microseconds.

    Where it is left out, as in profiles that were measured in their layout, it is within the linear layers.
    """

    num_per_layer: Count
    launch_us: Microseconds
    table: Annotated[tuple[Knot, ...], Meta(min_length=2)]


class SendRecv(_Figures, frozen=True, kw_only=True):
    """Handing a stage's activations to the next one; `table` maps bytes to microseconds."""

    table: Annotated[tuple[Knot, ...], Meta(min_length=2)]


class Shape(_Figures, frozen=True, kw_only=True):
    """What was measured: a model, split over devices in a layer and over stages of layers.

    `hidden_bytes_per_token` is what one token's activations weigh between layers, and `weight_format` what the
    layers' matrices are kept in.
    """

    device: str
    model: str
    tensor_parallel: Count
    pipeline_parallel: Count
    num_layers: Count
    hidden_bytes_per_token: Count
    weight_format: str = "bfloat16"

    @property
    def num_devices(self) -> int:
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def stage_layers(self) -> tuple[int, ...]:
        """Return the number of layers of each stage."""
        return layers_of_stages(self.num_layers, self.pipeline_parallel)


class CostProfile(_Figures, frozen=True, kw_only=True):
    """One (device, model, parallelism). Costs of layers are microseconds per layer and device."""

    provenance: Provenance
    shape: Shape
    memory: Memory
    overhead: Overhead
    linear: Linear
    prefill_attention: PrefillAttention
    decode_attention: DecodeAttention
    output_head: OutputHead
    embedding: Embedding | None = None
    all_reduce: AllReduce | None = None
    send_recv: SendRecv | None = None

    def __post_init__(self) -> None:
        shape = self.shape
        if shape.num_layers < shape.pipeline_parallel:
            raise ValueError("pipeline_parallel is at most num_layers")
        if shape.tensor_parallel == 1 and self.all_reduce is not None:
            raise ValueError("all_reduce is there only when tensor_parallel is above 1")
        if (shape.pipeline_parallel > 1) != (self.send_recv is not None):
            raise ValueError("send_recv is there exactly when pipeline_parallel is above 1")
        if self.memory.kv_cache_bytes < self.memory.kv_bytes_per_token:
            raise ValueError("memory: weights and activations leave nothing for the KV cache")

    @property
    def name(self) -> str:
        """What it is found by: see `profile_name`."""
        shape = self.shape
        return profile_name(
            shape.device, shape.model, shape.weight_format, shape.tensor_parallel, shape.pipeline_parallel
        )

    def num_blocks(self, block_size: int, kv_cache_bytes: int | None = None) -> int:
        """Return how many blocks of `block_size` tokens a device's KV cache holds, of its own size or of another."""
        num_bytes = self.memory.kv_cache_bytes if kv_cache_bytes is None else kv_cache_bytes
        return num_bytes // (self.memory.kv_bytes_per_token * block_size)


def profile_name(
    device: str, model: str, weight_format: str, tensor_parallel: int = 1, pipeline_parallel: int = 1
) -> str:
    """Return `<device>/<model>-tpN`, with `-<format>` where weights are no 16-bit floats and `-ppM` for stages.

    `device` may have a number, such as `cuda:0`, which is left out.
    """
    numbers = "" if weight_format in ("bfloat16", "float16") else f"-{weight_format}"
    stages = f"-pp{pipeline_parallel}" if pipeline_parallel > 1 else ""
    return f"{device.partition(':')[0]}/{model}{numbers}-tp{tensor_parallel}{stages}"


def parse_profile(text: str | bytes, origin: str | Path) -> CostProfile:
    """Return the profile in `text`; raises `ConfigError` that names `origin` and the figure that is wrong."""
    try:
        return msgspec.toml.decode(text, type=CostProfile)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # integers and brackets without end among them
        raise ConfigError(f"{origin}: {error}") from error


def to_toml(profile: CostProfile) -> str:
    """Return the text of the file that holds `profile`."""
    tables: dict[str, dict[str, Any] | None] = msgspec.to_builtins(profile)
    return "\n".join(_table(name, values) for name, values in tables.items() if values is not None)


def _table(name: str, values: dict[str, Any]) -> str:
    return "".join((f"[{name}]\n", *(f"{key} = {_value(value)}\n" for key, value in values.items())))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(part)}" for key, part in value.items()) + "}"
    return msgspec.json.encode(value).decode()  # strings, numbers and arrays are the same in JSON and TOML
