"""What one rank has of a model: some of its layers, and of each of them one part (Shoeybi et al. 2019)."""

from dataclasses import dataclass
from itertools import accumulate

from sarathid.costmodel.pipeline import layers_of_stages
from sarathid.errors import ModelRefused
from sarathid.models.model_config import ModelConfig
from sarathid.models.shard import Shard


@dataclass(frozen=True, slots=True)
class ModelShare:
    """Layers `layers` of a model, and of each the heads, feed-forward columns and words of part `part` of `num_parts`.

    Where there are fewer KV heads than parts, several parts have the same one. Raises `ModelRefused` where a model
    does not divide into so many parts.
    """

    config: ModelConfig
    layers: range
    part: int = 0
    num_parts: int = 1

    def __post_init__(self) -> None:
        config, num_parts = self.config, self.num_parts
        if config.num_heads % num_parts:
            raise ModelRefused(f"{config.num_heads} attention heads do not divide among {num_parts} {self._advice}")
        if config.num_kv_heads % num_parts and num_parts % config.num_kv_heads:
            raise ModelRefused(f"{config.num_kv_heads} KV heads do not divide among {num_parts} {self._advice}")
        if config.intermediate_size % num_parts:
            raise ModelRefused(
                f"a feed-forward layer of {config.intermediate_size} does not divide among {num_parts} {self._advice}"
            )

    @classmethod
    def whole(cls, config: ModelConfig) -> "ModelShare":
        """Return all of a model, for a rank that is alone."""
        return cls(config, range(config.num_layers))

    @property
    def has_embedding(self) -> bool:
        return self.layers.start == 0

    @property
    def has_head(self) -> bool:
        return self.layers.stop == self.config.num_layers

    @property
    def is_first_part(self) -> bool:
        """Whether this part speaks for all: it draws, and tells of what the parts did together."""
        return self.part == 0

    @property
    def heads(self) -> Shard:
        return Shard.even(self.config.num_heads, self.part, self.num_parts)

    @property
    def kv_heads(self) -> Shard:
        num_kv_heads = self.config.num_kv_heads
        start = self.part * num_kv_heads // self.num_parts
        return Shard(num_kv_heads, start, start + max(1, num_kv_heads // self.num_parts))

    @property
    def intermediate(self) -> Shard:
        """Columns of the feed-forward layer."""
        return Shard.even(self.config.intermediate_size, self.part, self.num_parts)

    @property
    def vocabulary(self) -> Shard:
        """Token ids; the last part may have fewer."""
        return Shard.even(self.config.vocab_size, self.part, self.num_parts)

    def kv_bytes_per_token(self, bytes_per_value: int) -> int:
        """Return the bytes that one position takes in this share's KV cache, over all of its layers."""
        return 2 * len(self.layers) * self.kv_heads.length * self.config.head_dim * bytes_per_value

    @property
    def _advice(self) -> str:
        fitting = [str(count) for count in range(1, self.config.num_heads + 1) if _divides(self.config, count)]
        return f"ranks; --tp {' or '.join(filter(None, (', '.join(fitting[:-1]), fitting[-1])))} would do"


def split_layers(num_layers: int, num_stages: int) -> tuple[range, ...]:
    """Return each pipeline stage's layers, as many as `layers_of_stages` says.

    Raises `ModelRefused` when there are more stages than layers.
    """
    if num_stages > num_layers:
        raise ModelRefused(f"{num_layers} layers do not divide among {num_stages} stages; give a smaller --pp")
    counts = layers_of_stages(num_layers, num_stages)
    return tuple(range(stop - count, stop) for count, stop in zip(counts, accumulate(counts), strict=True))


def _divides(config: ModelConfig, num_parts: int) -> bool:
    has_kv_heads = config.num_kv_heads % num_parts == 0 or num_parts % config.num_kv_heads == 0
    return has_kv_heads and config.num_heads % num_parts == 0 and config.intermediate_size % num_parts == 0
