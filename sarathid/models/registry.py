"""Which class runs which architecture; a family that shares a block is a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from sarathid.errors import ModelRefused
from sarathid.models.layers.context import LayerContext
from sarathid.models.llama import LlamaForCausalLM
from sarathid.models.model_config import ModelConfig

ARCHITECTURES: Mapping[str, type[LlamaForCausalLM]] = MappingProxyType(
    {
        "LlamaForCausalLM": LlamaForCausalLM,
        "MistralForCausalLM": LlamaForCausalLM,
        "Qwen2ForCausalLM": LlamaForCausalLM,
    }
)


def build_model(config: ModelConfig, max_positions: int, context: LayerContext) -> LlamaForCausalLM:
    """Return the model of a configuration, its weights still to be loaded.

    Raises `ModelRefused` with the architectures there are.
    """
    model_class = ARCHITECTURES.get(config.architecture)
    if model_class is None:
        raise ModelRefused(f"the architecture {config.architecture} is not served; {', '.join(ARCHITECTURES)} are")
    return model_class(config, max_positions, context)
