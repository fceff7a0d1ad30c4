"""A daemon that serves language models without stalls; offline, its engine is `LLM`.

Importing this package loads nothing else: `LLM` and what belongs to it are loaded when they are first named.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sarathid.llm import LLM, Output, SamplingOptions

__all__ = ["LLM", "Output", "SamplingOptions"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Deferred: daemon and console import this package too, and start without an engine (PEP 562).
    from sarathid import llm

    return getattr(llm, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
