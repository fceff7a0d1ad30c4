"""What clients send that says nothing: fields that are not supported, with the values that change nothing."""

from collections.abc import Mapping
from typing import Any

from sarathid.errors import RequestRefused

NEUTRAL_VALUES: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "best_of": (1,),
    "detokenize": (True,),
    "function_call": ("none",),
    "functions": ([],),
    "length_penalty": (1.0,),
    "metadata": ({},),
    "modalities": (["text"],),
    "moderation": (),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "prompt_cache_options": ({}, {"mode": "implicit"}),
    "prompt_cache_retention": ("in_memory",),
    "reasoning_effort": ("none",),
    "service_tier": ("auto", "default"),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "store": (False,),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "use_beam_search": (False,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
"""Those of a request, of OpenAI's API and of vLLM's."""

NEUTRAL_MESSAGE_VALUES: dict[str, tuple[Any, ...]] = {
    "annotations": ([],),
    "audio": (),
    "function_call": (),
    "provider_specific_fields": ({}, {"refusal": None}),
    "refusal": (),
    "tool_calls": ([],),
}
"""Those of a message: clients send an answer back as they got it."""

_TOOL_ROLES = ("function", "tool")


def told(fields: Mapping[str, Any], neutral: Mapping[str, tuple[Any, ...]], place: str = "") -> dict[str, Any]:
    """Return the fields that say something; null counts as absent.

    Raises `RequestRefused` where one that is not supported does, naming it behind its `place`.
    """
    wanted = {name: value for name, value in fields.items() if value is not None}
    for name in wanted.keys() & neutral.keys():
        if wanted[name] not in neutral[name]:
            raise RequestRefused(f"{name!r} is not supported here; leave it out", f"{place}{name}")
    return {name: value for name, value in wanted.items() if name not in neutral}


def told_by_message(message: object, place: str) -> object:
    """Return a message with the fields that say something, and anything else as it is; raises as `told` does."""
    if not isinstance(message, Mapping):
        return message
    if message.get("role") in _TOOL_ROLES:
        raise RequestRefused("tools are not supported here; leave out their messages", f"{place}.role")
    return told(message, NEUTRAL_MESSAGE_VALUES, f"{place}.")
