"""Which family runs which architecture; one that shares a block is a line here and in `config_json`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sarathid.models.decoder import Decoder
from sarathid.models.falcon import build_falcon
from sarathid.models.layers.context import LayerContext
from sarathid.models.llama import build_llama
from sarathid.models.share import ModelShare

ARCHITECTURES: Mapping[str, Callable[[ModelShare, int, LayerContext], Decoder]] = MappingProxyType(
    {
        "LlamaForCausalLM": build_llama,
        "MistralForCausalLM": build_llama,
        "Qwen2ForCausalLM": build_llama,
        "Qwen3ForCausalLM": build_llama,
        "FalconForCausalLM": build_falcon,
    }
)


def build_model(share: ModelShare, max_positions: int, context: LayerContext) -> Decoder:
    """Return a share of a model, its weights still to be loaded."""
    return ARCHITECTURES[share.config.architecture](share, max_positions, context)
