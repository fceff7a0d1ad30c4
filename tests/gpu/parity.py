"""Greedy tokens of the default model, by the engine's executor and by transformers on the same device."""

from collections.abc import Sequence
from pathlib import Path

import torch
import transformers

from sarathid.config import EngineConfig
from sarathid.executor.local import LocalExecutor
from sarathid.models.export import export
from sarathid.models.model_files import resolve
from sarathid.protocol.requests import SamplingParams
from sarathid.scheduler.batch import SamplingInput, ScheduledBatch, ScheduledSequence
from tests.gpu.report import Row, Verdict

PROMPTS = ("The capital of France is", "1 + 2 = 3, 10 + 20 = ", "def fibonacci(n):\n    if n <")
MAX_LEN = 256
GREEDY = SamplingInput(params=SamplingParams(temperature=0.0), num_output_tokens=0)


def check_parity(device: torch.device, num_tokens: int, model: str, directory: Path) -> Row:
    """Return whether float32 gives the tokens that transformers gives, over all prompts side by side."""
    files = resolve(model)
    export(files, directory)
    prompts = [files.tokenizer.encode(prompt).ids for prompt in PROMPTS]
    config = EngineConfig(
        model=model, device=str(device), dtype="float32", max_model_len=MAX_LEN, max_num_seqs=len(prompts)
    )
    executor = LocalExecutor(config)
    info = executor.start()
    sequences = _generate(executor, prompts, num_tokens, info.block_size)
    executor.close()
    oracle = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).to(device)
    num_wrong = 0
    for prompt, tokens in zip(prompts, sequences, strict=True):
        with torch.inference_mode():
            best = oracle(torch.tensor([tokens], device=device)).logits[0].argmax(-1)[len(prompt) - 1 : -1]
        num_wrong += sum(found != wanted for found, wanted in zip(tokens[len(prompt) :], best.tolist(), strict=True))
    words = f"{len(prompts) * num_tokens - num_wrong} of {len(prompts) * num_tokens} tokens, {info.attention_backend}"
    return Row("greedy tokens of transformers", Verdict.FAILED if num_wrong else Verdict.PASSED, words)


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
