"""How ranks share a model: which layers and which part of each a rank has, and on which node it runs."""

from dataclasses import dataclass

from sarathid.config import EngineConfig
from sarathid.errors import ConfigError
from sarathid.models.model_config import ModelConfig
from sarathid.models.share import ModelShare, split_layers


@dataclass(frozen=True, slots=True)
class Layout:
    """`num_stages` pipeline stages of `num_parts` ranks each, which have a part of every layer of their stage.

    Ranks are numbered stage by stage, and each of `num_nodes` nodes has as many of them, in order. Raises
    `ConfigError` where they do not divide among the nodes.
    """

    num_parts: int = 1
    num_stages: int = 1
    num_nodes: int = 1

    def __post_init__(self) -> None:
        if self.num_ranks % self.num_nodes:
            raise ConfigError(
                f"{self.num_parts} x {self.num_stages} ranks do not divide among {self.num_nodes} nodes; "
                "change --tp, --pp or --nnodes"
            )

    @classmethod
    def of(cls, config: EngineConfig) -> "Layout":
        """Return the layout that is configured."""
        return cls(config.tensor_parallel, config.pipeline_parallel, config.num_nodes)

    @property
    def num_ranks(self) -> int:
        return self.num_parts * self.num_stages

    @property
    def num_local_ranks(self) -> int:
        """Ranks of each node."""
        return self.num_ranks // self.num_nodes

    def stage_of(self, rank: int) -> int:
        return rank // self.num_parts

    def node_of(self, rank: int) -> int:
        return rank // self.num_local_ranks

    def ranks_of_stage(self, stage: int) -> range:
        return range(stage * self.num_parts, (stage + 1) * self.num_parts)

    def ranks_of_node(self, node: int) -> range:
        return range(node * self.num_local_ranks, (node + 1) * self.num_local_ranks)

    def share(self, model: ModelConfig, rank: int) -> ModelShare:
        """Return what `rank` has of a model; raises `ModelRefused` where it does not divide into this layout."""
        layers = split_layers(model.num_layers, self.num_stages)[self.stage_of(rank)]
        return ModelShare(model, layers, rank % self.num_parts, self.num_parts)

    def kv_bytes_per_token(self, model: ModelConfig, bytes_per_value: int) -> int:
        """Return the bytes that one position takes in the KV caches of all ranks."""
        return sum(self.share(model, rank).kv_bytes_per_token(bytes_per_value) for rank in range(self.num_ranks))

    def __str__(self) -> str:
        nodes = f" on {self.num_nodes} nodes" if self.num_nodes > 1 else ""
        return f"tp={self.num_parts} pp={self.num_stages}{nodes}"
