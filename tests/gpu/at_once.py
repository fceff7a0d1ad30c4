"""All prompts at once through our engine and through transformers' continuous batching, on models of one shape."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
import transformers

from sarathid.clock import MonotonicClock
from sarathid.engine.assembly import build_core
from sarathid.protocol.requests import Request, SamplingParams
from sarathid.workload import random_token_ids
from sarathid.workload_catalog import load_requests
from tests.gpu.mistral import Loaded
from tests.gpu.parts import NotAvailable
from tests.gpu.report import Row, Verdict

NUM_REQUESTS = {"cuda": 48, "cpu": 4}
SCALES = {"cuda": 2, "cpu": 64}
NUM_OUTPUT_TOKENS = {"cuda": 128, "cpu": 8}


def make_prompts(model: Loaded) -> list[list[int]]:
    """Return random prompts of the lengths of ShareGPT chats, scaled down."""
    kind, rng = model.info.device.partition(":")[0], random.Random(0)
    planned = load_requests("sharegpt4", num_requests=NUM_REQUESTS[kind], scale=SCALES[kind]).requests
    return [random_token_ids(request.num_prompt_tokens, model.info.vocab_size, rng) for request in planned]


def measure_ours(model: Loaded, prompts: Sequence[Sequence[int]]) -> Iterator[Row]:
    """Yield how long the engine takes for them, each batch put together while one runs, or when the host has time.

    The budget is 2,048 tokens, without a target, so that the batches, and with them the tokens, are the same.
    """
    in_turn = _run(model, prompts, runs_ahead=False)
    ahead = _run(model, prompts, runs_ahead=True)
    yield _row("all at once by sarathid", prompts, len(ahead.tokens), ahead.seconds)
    yield _row("all at once, batches put together in turn", prompts, len(in_turn.tokens), in_turn.seconds)
    num_same = sum(found == wanted for found, wanted in zip(ahead.tokens, in_turn.tokens, strict=True))
    is_right = num_same == len(in_turn.tokens) == len(prompts) * _num_output_tokens(model)
    words = f"{num_same} of {len(in_turn.tokens)} tokens are those of batches in turn"
    yield Row("tokens of batches put together ahead", Verdict.PASSED if is_right else Verdict.FAILED, words)


@dataclass(frozen=True, slots=True)
class _Run:
    """The requests' tokens, one request after the other, and what they took."""

    tokens: list[int | None]
    seconds: float


def _run(model: Loaded, prompts: Sequence[Sequence[int]], *, runs_ahead: bool) -> _Run:
    executor, clock = model.executor, MonotonicClock()
    was_ahead, executor.runs_ahead = executor.runs_ahead, runs_ahead
    config = msgspec.structs.replace(model.config, token_budget=2048, slo_tbt=None)
    core = build_core(config, executor, model.info, clock)
    start_s = clock.now_s()
    for index, prompt in enumerate(prompts):
        sampling = SamplingParams(max_tokens=_num_output_tokens(model), temperature=0.0, ignore_eos=True)
        core.add(Request(request_id=index, prompt_token_ids=tuple(prompt), sampling=sampling, arrival_s=start_s))
    tokens: list[list[int | None]] = [[] for _ in prompts]
    while core.has_work:
        output = core.step()
        for delta in () if output is None else output.deltas:
            tokens[delta.request_id].append(delta.token_id)
    seconds = clock.now_s() - start_s
    executor.runs_ahead = was_ahead
    return _Run([token_id for of_one in tokens for token_id in of_one], seconds)


def _num_output_tokens(model: Loaded) -> int:
    return NUM_OUTPUT_TOKENS[model.info.device.partition(":")[0]]


def measure_transformers(device: torch.device, fields: dict[str, Any], prompts: Sequence[list[int]]) -> Iterator[Row]:
    """Yield the same for transformers' `generate_batch`, on random weights of the same shape.

    Its time runs from the first request's making to the last one's end: what it captures and compiles comes before.
    """
    what, num_tokens = "all at once by transformers", NUM_OUTPUT_TOKENS[device.type]
    try:
        # Deferred: older ones have none, which is told as what it is.
        from transformers import ContinuousBatchingConfig

        model = _their_model(device, fields, num_tokens)
        memory = None if device.type == "cuda" else ContinuousBatchingConfig(num_blocks=32, max_batch_tokens=256)
        model.generate_batch(list(prompts[:2]), continuous_batching_config=memory)  # libraries load
        results = model.generate_batch(list(prompts), continuous_batching_config=memory).values()
        seconds = max(result.lifespan[1] for result in results) - min(result.created_time for result in results)
    except (AttributeError, TypeError) as error:
        raise NotAvailable(f"transformers {transformers.__version__} does it otherwise: {error}") from error
    num_given = sum(len(result.generated_tokens) for result in results)
    if num_given != len(prompts) * num_tokens:
        yield Row(what, Verdict.FAILED, f"{num_given} of {len(prompts) * num_tokens} tokens came")
        return
    yield _row(what, prompts, num_given, seconds)


def _their_model(device: torch.device, fields: dict[str, Any], num_tokens: int) -> Any:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    config = transformers.MistralConfig(**{name: value for name, value in fields.items() if name != "architectures"})
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    model.generation_config = transformers.GenerationConfig(
        max_new_tokens=num_tokens, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    return model


def _row(what: str, prompts: Sequence[Sequence[int]], num_given: int, seconds: float) -> Row:
    num_prompt_tokens = sum(map(len, prompts))
    words = (
        f"{len(prompts)} prompts of {num_prompt_tokens} tokens and {num_given} given in {seconds:.2f} s: "
        f"{(num_prompt_tokens + num_given) / seconds:.0f} tokens a second, {num_given / seconds:.0f} given"
    )
    return Row(what, Verdict.MEASURED, words)
