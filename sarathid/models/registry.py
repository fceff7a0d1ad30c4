"""Which family runs which architecture; one that shares a block is a line here and in `config_json`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sarathid.models.decoder import Decoder
from sarathid.models.falcon import build_falcon
from sarathid.models.layers.context import LayerContext
from sarathid.models.llama import build_llama
from sarathid.models.model_config import ModelConfig

ARCHITECTURES: Mapping[str, Callable[[ModelConfig, int, LayerContext], Decoder]] = MappingProxyType(
    {
        "LlamaForCausalLM": build_llama,
        "MistralForCausalLM": build_llama,
        "Qwen2ForCausalLM": build_llama,
        "Qwen3ForCausalLM": build_llama,
        "FalconForCausalLM": build_falcon,
    }
)


def build_model(config: ModelConfig, max_positions: int, context: LayerContext) -> Decoder:
    """Return the model of a configuration, its weights still to be loaded."""
    return ARCHITECTURES[config.architecture](config, max_positions, context)
