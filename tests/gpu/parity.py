"""Greedy tokens of a model, by the engine's executor and by transformers on the same device."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
import transformers

from sarathid.config import EngineConfig
from sarathid.executor.local import LocalExecutor
from sarathid.models.catalog import CATALOG
from sarathid.models.export import export
from sarathid.models.fetch import is_fetched
from sarathid.models.model_files import resolve
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence
from tests.gpu.report import Row, Verdict
from tests.models.tiny import VOCAB_SIZE, save_tiny_model

PROMPTS = ("The capital of France is", "1 + 2 = 3, 10 + 20 = ", "def fibonacci(n):\n    if n <")
MAX_LEN = 256
GREEDY = SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0)


def check_random_parity(device: torch.device, num_tokens: int, directory: Path) -> Row:
    """Return whether a random model gives the tokens that transformers gives, which takes no file that is not here."""
    oracle = save_tiny_model(directory, head_dim=64).to(device)
    random = Random(0)
    prompts = [random.choices(range(VOCAB_SIZE), k=length) for length in (3, 40, 17)]
    return _compare("greedy tokens of a random model", device, num_tokens, str(directory), prompts, oracle)


def check_parity(device: torch.device, num_tokens: int, model: str, directory: Path) -> Row:
    """Return whether a model gives the tokens that transformers gives; the default one only where it was fetched."""
    what = f"greedy tokens of {model}"
    if any(found.name == model and not is_fetched(found) for found in CATALOG):
        return Row(what, Verdict.NOT_AVAILABLE, f"it is not in the cache; `sarathid models fetch {model}` gets it")
    files = resolve(model)
    export(files, directory)
    oracle = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).to(device)
    prompts = [files.tokenizer.encode(prompt).ids for prompt in PROMPTS]
    return _compare(what, device, num_tokens, model, prompts, oracle)


def _compare(
    what: str, device: torch.device, num_tokens: int, model: str, prompts: Sequence[Sequence[int]], oracle: Any
) -> Row:
    """Return whether float32 gives the tokens that `oracle` finds best, over all prompts side by side."""
    config = EngineConfig(
        model=model, device=str(device), dtype="float32", max_model_len=MAX_LEN, max_num_seqs=len(prompts)
    )
    executor = LocalExecutor(config)
    info = executor.start()
    sequences = _generate(executor, prompts, num_tokens, info.block_size)
    executor.close()
    num_wrong = 0
    for prompt, tokens in zip(prompts, sequences, strict=True):
        with torch.inference_mode():
            best = oracle(torch.tensor([tokens], device=device)).logits[0].argmax(-1)[len(prompt) - 1 : -1]
        num_wrong += sum(found != wanted for found, wanted in zip(tokens[len(prompt) :], best.tolist(), strict=True))
    words = f"{len(prompts) * num_tokens - num_wrong} of {len(prompts) * num_tokens} tokens, {info.attention_backend}"
    return Row(what, Verdict.FAILED if num_wrong else Verdict.PASSED, words)


def _generate(
    executor: LocalExecutor, prompts: Sequence[Sequence[int]], num_tokens: int, block_size: int
) -> list[list[int]]:
    """Return each prompt and its best next tokens, drawn side by side."""
    sequences = [list(prompt) for prompt in prompts]
    blocks_each = -(-MAX_LEN // block_size)
    num_computed = [0] * len(prompts)
    for _ in range(num_tokens):
        shares = []
        for index, tokens in enumerate(sequences):
            blocks = tuple(range(index * blocks_each, (index + 1) * blocks_each))
            first = num_computed[index]
            shares.append(
                ScheduledSequence(
                    request_id=index,
                    token_ids=tuple(tokens[first:]),
                    first_position=first,
                    block_ids=blocks,
                    sampling=GREEDY,
                    num_output_tokens=int(first > 0),
                )
            )
            num_computed[index] = len(tokens)
        is_decoding = len(shares[0].token_ids) == 1
        batch = ScheduledBatch(decodes=tuple(shares)) if is_decoding else ScheduledBatch(chunks=tuple(shares))
        executor.submit(batch)
        for tokens, token_id in zip(sequences, executor.collect().drawn.token_ids, strict=True):
            assert token_id is not None
            tokens.append(token_id)
    return sequences
