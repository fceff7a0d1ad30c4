"""The metrics that mean what vLLM's of the same name do, under vLLM's names, for dashboards that were made for it."""

from collections import Counter
from collections.abc import Iterable

from sarathid.protocol.requests import FinishReason
from sarathid.telemetry.exposition import Family, counters

_PREFIX = "sarathid_"
_SAME = frozenset(
    {
        "cache_config_info",
        "e2e_request_latency_seconds",
        "generation_tokens",
        "inter_token_latency_seconds",
        "kv_cache_usage_perc",
        "num_preemptions",
        "num_requests_running",
        "num_requests_waiting",
        "prefix_cache_hits",
        "prefix_cache_queries",
        "prompt_tokens",
        "request_decode_time_seconds",
        "request_generation_tokens",
        "request_inference_time_seconds",
        "request_prefill_time_seconds",
        "request_prompt_tokens",
        "request_queue_time_seconds",
        "time_to_first_token_seconds",
    }
)
_RENAMED = {"iteration_tokens": "iteration_tokens_total"}
_REASONS = {FinishReason.CANCELLED: "abort", FinishReason.TIMEOUT: "abort"}


def under_vllm_names(families: Iterable[Family], model: str) -> list[Family]:
    """Return those families that vLLM has too, as vLLM names and labels them; `model` is the name that clients use."""
    labels = (("model_name", model), ("engine", "0"))
    found: list[Family] = []
    for family in families:
        name = family.name.removeprefix(_PREFIX)
        if name == "requests":
            found.append(_request_success(family).labelled(labels))
        elif name in _SAME or name in _RENAMED:
            renamed = Family(f"vllm:{_RENAMED.get(name, name)}", family.kind, family.words, family.samples)
            found.append(renamed.labelled(labels))
    return found


def _request_success(ended: Family) -> Family:
    """Return the ended requests by the reasons that vLLM tells apart."""
    by_reason: Counter[str] = Counter()
    for sample in ended.samples:
        ((_, reason),) = sample.labels
        by_reason[_REASONS.get(FinishReason(reason), reason)] += int(sample.value)
    return counters("vllm:request_success", ended.words, "finished_reason", by_reason)
